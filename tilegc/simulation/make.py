"""`simulate`: check what was asked for, draw the sky, write the files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import get_args

from tilegc.config import RunConfig
from tilegc.errors import ConfigError, ConvergenceError, ResourceError, RunFolderError
from tilegc.simulation.arguments import (
    checked_bands,
    checked_folder,
    checked_psfs,
    checked_sizes,
    covers,
    lens_and_preset,
    with_faults,
)
from tilegc.simulation.faults import NO_FAULTS
from tilegc.simulation.frame import layout_frames
from tilegc.simulation.mosaics import (
    LAYOUTS,
    Mosaic,
    NoiseTruth,
    disk_bytes,
    free_bytes,
    mosaic_for,
    write_whole,
)
from tilegc.simulation.population import populate
from tilegc.simulation.presets import Preset, before_optics, find_preset
from tilegc.simulation.products import kappa_map, run_file, truth_table
from tilegc.simulation.psf import model_psf
from tilegc.simulation.scene import Scene
from tilegc.sizes import decimal

__all__ = ["simulate"]

_TILE = 512

RECIPES = get_args(RunConfig.model_fields["recipe"].annotation)

Progress = Callable[[int, int, str], object]


def simulate(
    directory: str | Path,
    *,
    preset: str | Preset = "small",
    seed: int = 1,
    size: int | Sequence[int] | None = None,
    bands: Sequence[str] | None = None,
    layout: str = "i2d",
    recipe: str = "diego2026",
    kappa: str | Path | None = None,
    kappa_source_redshift: float | None = None,
    kappa_lens_scaling: float | None = None,
    psf: str | Mapping[str, str | Path] | None = None,
    psf_model: str | None = None,
    steps: float | None = None,
    stripes: float | None = None,
    wisps: float | None = None,
    oversubtraction: float | None = None,
    cores: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    tile: int = _TILE,
) -> Path:
    """Write a mock cluster: FITS mosaics, ``kappa.fits``, ``truth.parquet`` and ``run.yaml``.

    With steps in depth or any fault, ``truth_noise_<field>.fits`` holds the noise that was planted, one extension a
    band.

    Everything is checked before anything is written; files are written beside their places and
    renamed. The same arguments give the same bytes, whatever `tile` and the number of cores.

    Parameters
    ----------
    directory : path
        Made if absent; must be empty unless `overwrite`.
    preset : str or Preset
        The name of one of `PRESETS`, or a preset of one's own.
    seed : int
        Not negative.
    size : int or pair of int, optional
        Side of the fields in pixels instead of the preset's: one for all, or one each.
    bands : sequence of str, optional
        Of F090W, F115W, F150W, F200W; the preset's by default.
    layout : {"i2d", "grizli"}
        One file a band with SCI, ERR, WHT in MJy/sr; or gzipped science and weight in 10 nJy.
    recipe : {"diego2026", "calibrated"}
        Recipe of the run file.
    kappa : path, optional
        A kappa map over which globular clusters are planted instead of the analytic cluster. The
        cluster centre is the preset's if the map covers it, else the map's peak.
    kappa_source_redshift, kappa_lens_scaling : float, optional
        How that map is scaled: a source redshift, or D_LS / D_S. Exactly one, and only with `kappa`.
    psf : {"optical", "round"} or mapping of str to path, optional
        A PSF model for all bands, or FITS images of the PSF per band; bands without one keep the model.
    psf_model : {"optical", "round"}, optional
        The model of bands without an image, the preset's by default: diffraction with rings and spikes, or round
        Gaussians with spikes drawn onto stars. With the latter `as1063` has the galaxies and the depth that it had
        before there was another model.
    steps : float, optional
        Largest step in noise between parts of a field; with it come wedges, strips of intermediate depth and dead
        columns. 1 for even depth; the preset's by default.
    stripes, wisps : float, optional
        Rms of 1/f stripes and peak of the brightest wisp, in units of the noise of an empty pixel.
    oversubtraction : float, optional
        Subtract the intracluster light and this share of it once more, as a sky subtraction may do.
    cores : {"nan", "zero", "negative"}, optional
        What the saturated cores of stars hold. Other than with "nan", their weights pass for good.
    overwrite : bool
        Write into a folder that is not empty; only files of the same names are replaced.
    progress : callable, optional
        Called as ``progress(done, total, label)`` after each tile.
    tile : int
        Side of the tiles in which mosaics are made, px: memory, not content, depends on it.

    Returns
    -------
    Path
        The run file.

    Raises
    ------
    ConfigError, InputError, ConvergenceError
        If an argument or a file is wrong.
    RunFolderError
        If the directory is not empty and `overwrite` is not set.
    ResourceError
        If the disk has no room.

    Examples
    --------
    >>> tilegc.simulate("mock", preset="tiny", size=(128, 96)).name
    'run.yaml'
    """
    chosen = find_preset(preset)
    names = checked_bands(chosen.bands if bands is None else bands)
    if layout not in LAYOUTS:
        raise ConfigError(f"layout: unknown {layout!r}; use one of {', '.join(LAYOUTS)}")
    if recipe not in RECIPES:
        raise ConfigError(f"recipe: unknown {recipe!r}; use one of {', '.join(RECIPES)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed: {seed!r} must be an integer of at least 0")
    if tile < 1:
        raise ConfigError(f"tile: {tile!r} is not a valid side in pixels; give at least 1")
    sizes = checked_sizes(size, len(chosen.fields))
    model, images = checked_psfs(psf, psf_model or chosen.psf, names, chosen.scale)
    if model == "round":
        chosen = before_optics(chosen)
    chosen = with_faults(
        chosen, steps=steps, stripes=stripes, wisps=wisps, oversubtraction=oversubtraction, cores=cores
    )
    mass, chosen = lens_and_preset(chosen, kappa, kappa_source_redshift, kappa_lens_scaling)
    frames = layout_frames(chosen, sizes)
    if kappa is not None and not covers(mass, frames):
        raise ConvergenceError(f"kappa: {kappa} has no mass on any field; give a map that covers the cluster")
    folder = checked_folder(Path(directory), overwrite=overwrite)
    uneven = chosen.faults != NO_FAULTS or any(plan.depth for plan in chosen.fields)
    need, free = disk_bytes(layout, frames, len(names), noise=uneven), free_bytes(folder)
    if need > free:
        raise ResourceError(
            f"{folder}: the mosaics need {decimal(need)}, {decimal(free)} are free;"
            " choose a smaller size or another disk"
        )

    objects = populate(chosen, frames, mass, seed, names)
    tiles = sum(len(list(_row_bands(f.ny, tile))) * len(list(_row_bands(f.nx, tile))) for f in frames)
    tell = _Teller(progress, tiles)
    run = folder / "run.yaml"
    with _filling(folder):
        # gone first and written last: with a run file in it, a folder is whole
        run.unlink(missing_ok=True)
        for frame in frames:
            psfs = [images.get(b) or model_psf(model, b, frame.scale, frame.plan.turn) for b in names]
            scene = Scene(frame, objects, psfs, seed, chosen.faults, chosen.depth)
            truth = NoiseTruth(folder, frame, names, chosen.cluster_name) if uneven else None
            _write_field(scene, folder, layout, chosen.cluster_name, tile, tell, truth)
        if chosen.has_kappa:
            write_whole(folder / "kappa.fits", kappa_map(mass, frames, chosen.redshift))
        write_whole(folder / "truth.parquet", truth_table(chosen, objects, frames, names))
        write_whole(run, run_file(chosen, frames, names, layout, recipe).encode())
    return run


@contextmanager
def _filling(folder: Path) -> Iterator[None]:
    """Make a folder for what is written inside; if that fails, remove what this call put there."""
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        before = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be created ({error.strerror}); choose another directory"
        ) from None
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # where nothing may be written, nothing was
            for path in list(folder.iterdir()):
                if path.name not in before and path.is_file():
                    path.unlink()
            if made:
                folder.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"{folder}: cannot be written to ({reason}); choose another directory"
            ) from None
        raise


class _Teller:
    """Counts tiles and passes the count on."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def tile(self, label: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total, label)


def _write_field(
    scene: Scene,
    folder: Path,
    layout: str,
    target: str,
    tile: int,
    tell: _Teller,
    truth: NoiseTruth | None,
) -> None:
    frame = scene.frame
    mosaics: list[Mosaic] = []
    try:
        # one by one: those that opened must be discarded if a later one cannot
        for psf in scene.psfs:
            mosaics += [mosaic_for(layout, folder, frame, psf.band, target)]
        unit, blank = mosaics[0].unit, mosaics[0].blank

        def make(y: int, x: int, shape: tuple[int, int]) -> None:
            parts = scene.render(y, x, shape, unit, blank=blank)
            for mosaic, (part, _) in zip(mosaics, parts, strict=True):
                mosaic.write(y, x, part)
            if truth is not None:
                truth.write(y, x, [noise for _, noise in parts])

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for y, height in _row_bands(frame.ny, tile):
                jobs = [pool.submit(make, y, x, (height, width)) for x, width in _row_bands(frame.nx, tile)]
                for job in jobs:
                    job.result()
                    tell.tile(f"field {frame.name}")
                list(pool.map(lambda mosaic: mosaic.end_row(), mosaics))
        for file in (*mosaics, truth):
            if file is not None:
                file.close()
    except BaseException:
        for file in (*mosaics, truth):
            if file is not None:
                file.discard()
        raise


def _row_bands(length: int, tile: int) -> Iterator[tuple[int, int]]:
    """Yield (start, length) of the parts into which tiles of that side cut an axis."""
    for start in range(0, length, tile):
        yield start, min(tile, length - start)
