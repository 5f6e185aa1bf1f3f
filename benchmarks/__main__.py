"""`python -m benchmarks`: measure, print, write."""

from __future__ import annotations

from pathlib import Path

from benchmarks import bounds, chain, commands, density, detection, figure, kernels, reading, whole_chain
from benchmarks.command_line import Parser, at_least, require, said
from benchmarks.measure import console, keep, on_processor, show
from tilegc.simulation import PRESETS


@said
def main() -> None:
    """Run the whole suite, some minutes."""
    options = Parser(prog="python -m benchmarks", description=main.__doc__)
    options.add_argument("--size", type=at_least(64), default=2048, help="side of the images, pixels")
    options.add_argument("--tile", type=at_least(1), default=1024, help="side of the chain's tiles, pixels")
    options.add_argument("--runs", type=at_least(1), default=5, help="runs of which the median counts")
    options.add_argument(
        "--sky", type=at_least(64), nargs="*", default=[4096, 8192], help="sides of the fields for rho"
    )
    options.add_argument(
        "--flat", type=at_least(64), nargs="*", default=[], help="larger ones, without a peer, e.g. 32768"
    )
    options.add_argument("--tiles", type=at_least(1), default=100_000, help="tiles that do nothing")
    options.add_argument(
        "--candidates", type=at_least(1), default=10_000_000, help="candidates that are settled"
    )
    options.add_argument(
        "--peers", type=at_least(64), default=4096, help="side of the images against SExtractor"
    )
    options.add_argument(
        "--figure", type=Path, help="where to draw the ratios, e.g. docs/figures/benchmarks.png"
    )
    options.add_argument(
        "--preset", default="small", choices=sorted(PRESETS), help="mock whose sources are looked for"
    )
    options.add_argument(
        "--mock-size", type=at_least(64), help="side of its fields, pixels; default: the preset's"
    )
    options.add_argument(
        "--seeds", type=at_least(0), nargs="*", default=[1], help="its seeds; none: leave it out"
    )
    given = options.parse_args()
    if given.figure is not None and given.figure.suffix.lower() != ".png":
        options.error(f"argument --figure: {given.figure}: give the name of a PNG")
    require(options, "dask_image", "photutils", "sep")
    found = detection.compare(given.preset, given.seeds, size=given.mock_size) if given.seeds else []
    if found:
        title = f"Sources found in the mock {given.preset}, seeds {', '.join(map(str, given.seeds))}"
        console().print(detection.table(found, title))
    against, passes = whole_chain.compare(given.peers, 1024, max(given.runs // 2, 1))
    cases = [
        *([] if on_processor() else commands.cases(given.peers, max(given.runs // 2, 1))),
        *against,
        kernels.double_filter(given.size, given.runs, gaps=False),
        kernels.double_filter(given.size, given.runs, gaps=True),
        kernels.peaks(given.size, given.runs),
        kernels.peaks(given.size, given.runs, 5.0),
        kernels.noise(given.size, given.runs),
        reading.fits_windows(given.size, given.tile, given.runs),
        reading.store_windows(given.size, given.tile, given.runs),
        reading.edges(given.size, given.runs),
        *([] if on_processor() else chain.detection(given.size, given.tile, given.runs)),
        *(density.rho(size, 1) for size in given.sky),
        *(density.rho(size, 1, peer=False) for size in given.flat),
        bounds.help_text(given.runs),
        *([] if on_processor() else [bounds.empty_tiles(given.tiles)]),
        bounds.settle_many(given.candidates),
    ]
    show(cases)
    for table in passes:
        console().print(table)
    print(f"written: {keep(cases, Path(__file__).parent / 'results', detection.rows(found))}")
    if given.figure is not None:
        figure.draw(cases, given.figure)


if __name__ == "__main__":
    main()
