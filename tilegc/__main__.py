"""Entry point of `python -m tilegc`."""

from tilegc.cli import main

main()
