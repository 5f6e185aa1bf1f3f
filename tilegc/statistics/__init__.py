"""What counts and maps say, with errors: arrays in, numbers out; no files, no tiles."""
