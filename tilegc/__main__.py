"""`python -m tilegc`."""

from tilegc.cli import main

main()
