"""`python -m benchmarks`: measure, print, write."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import chain, density, detection, kernels
from benchmarks.measure import console, keep, show


def main() -> None:
    """Run the whole suite, some minutes."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    options.add_argument("--size", type=int, default=2048, help="side of the images, pixels")
    options.add_argument("--tile", type=int, default=1024, help="side of the chain's tiles, pixels")
    options.add_argument("--runs", type=int, default=5, help="runs of which the median counts")
    options.add_argument(
        "--sky", type=int, nargs="*", default=[4096, 8192, 16384], help="sides of the fields for rho"
    )
    options.add_argument(
        "--flat", type=int, nargs="*", default=[], help="larger ones, without a peer, e.g. 32768"
    )
    options.add_argument("--preset", default="small", help="mock whose sources are looked for")
    options.add_argument("--mock-size", type=int, help="side of its fields, pixels; default: the preset's")
    options.add_argument("--seeds", type=int, nargs="*", default=[1], help="its seeds; none: leave it out")
    given = options.parse_args()
    found = detection.compare(given.preset, given.seeds, size=given.mock_size) if given.seeds else []
    if found:
        title = f"Sources found in the mock {given.preset}, seeds {', '.join(map(str, given.seeds))}"
        console().print(detection.table(found, title))
    cases = [
        kernels.double_filter(given.size, given.runs, gaps=False),
        kernels.double_filter(given.size, given.runs, gaps=True),
        kernels.peaks(given.size, given.runs),
        kernels.noise(given.size, given.runs),
        *chain.detection(given.size, given.tile, given.runs),
        *(density.rho(size, 1) for size in given.sky),
        *(density.rho(size, 1, peer=False) for size in given.flat),
    ]
    show(cases)
    print(f"written: {keep(cases, Path(__file__).parent / 'results', detection.rows(found))}")


if __name__ == "__main__":
    main()
