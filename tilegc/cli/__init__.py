"""The command line: parse arguments, call the package, print the results.

Exit codes: 0 success; 1 the run failed; 2 bad input or usage; 3 partial success. An error is one line on stderr.
Every command imports what it needs inside its function, so that `tilegc --help` loads none of the heavy libraries.
"""

from __future__ import annotations

from tilegc.cli.application import app, main

__all__ = ["app", "main"]
