"""The command line: parse, call, print.

Exit codes: 0 done; 1 the run failed; 2 bad input or usage; 3 done in part. Errors are one line on stderr.
Every command imports what it runs when it runs: `tilegc --help` loads none of the libraries.
"""

from __future__ import annotations

from tilegc.cli.application import app, main

__all__ = ["app", "main"]
