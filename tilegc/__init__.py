"""tilegc."""
