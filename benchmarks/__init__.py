"""What tilegc takes, against a named peer that does the same work in the same run.

Seconds mean little on another machine; ratios and counts do. `python -m benchmarks` (or `make bench`) prints a table
and writes `benchmarks/results/<time>.json`. Nothing here is a test: results are checked in `tests/`.
"""
