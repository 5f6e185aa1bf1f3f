"""What a run writes: tables, maps, the sky grid and the summary."""
