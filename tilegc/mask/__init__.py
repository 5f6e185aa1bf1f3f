"""Where no source can be recorded: edges, bright and extended objects, spikes, arcs, regions."""
