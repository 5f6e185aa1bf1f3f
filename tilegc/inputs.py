"""The inputs of a run: every file named in the run file is checked before anything is written."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from tilegc.config import Band, FieldInput, Pointing, RunConfig
from tilegc.errors import ConfigError, InputChangedError, InputError
from tilegc.geometry import Box
from tilegc.images import ingest
from tilegc.io import store
from tilegc.io.convergence import Kappa, check_overlap
from tilegc.io.fits import FieldSource, file_digest
from tilegc.io.probe import probe_field
from tilegc.io.psf import read_psf
from tilegc.io.reading import reading
from tilegc.kernels.psf import Psf
from tilegc.mask.mask_map import Regions, region_masks
from tilegc.photometry.extinction import extinctions
from tilegc.planted import read_truth
from tilegc.schema import MEASURED_BANDS
from tilegc.sky import check_centre, cosmology, pixel_to_world, sample, world_to_pixel
from tilegc.skygrid.lens_models import LensModels, find_lens_models

__all__ = ["Inputs", "examine", "located", "measured_bands"]


@dataclass(frozen=True)
class Inputs:
    """All inputs of a run, which have been checked and can be used."""

    sources: tuple[FieldSource, ...]
    """The fields and their images."""
    others: tuple[FieldSource, ...]
    """The bands that are only measured, each as a field of one band."""
    regions: Mapping[str, Regions]
    """User masks by field."""
    psfs: Mapping[str, Mapping[str, Psf]]
    """PSFs from the run file, by field and band."""
    lens: LensModels | None
    """Convergence map, range maps, and maps to compare."""
    truth: QTable | None
    """Truth table of a simulated cluster."""

    @property
    def kappa(self) -> Kappa | None:
        """The run's convergence map."""
        return None if self.lens is None else self.lens.kappa

    @property
    def pixels(self) -> Mapping[str, int]:
        """Number of pixels of every field."""
        return {source.name: source.box.size for source in (*self.sources, *self.others)}

    def without(self, areas: Mapping[str, tuple[Box, ...]]) -> Inputs:
        """Return inputs whose images have no data in some areas of fields."""
        sources, others = (
            tuple(replace(source, blank=areas.get(source.name, ())) for source in several)
            for several in (self.sources, self.others)
        )
        return replace(self, sources=sources, others=others)

    def files(self, config: RunConfig) -> set[str]:
        """Return the paths of all input files."""
        paths = {plane.path for source in (*self.sources, *self.others) for _, _, plane in source.planes()}
        paths |= {path for field in config.fields for path in field.masks}
        paths |= {band.psf for field in config.fields for band in (field.bands or {}).values() if band.psf}
        paths |= {band.psf for band in measured_bands(config).values() if band.psf}
        paths |= {config.truth} if config.truth else set()
        if config.convergence is not None and self.lens is not None:
            paths |= set(config.convergence.paths)
            others = (*config.convergence.compare, *config.convergence.alternatives)
            paths |= {path for other in others for path in other.paths}
            paths |= set(self.lens.ensemble.paths) if self.lens.ensemble else set()
        return paths

    def digests(self, config: RunConfig) -> dict[str, str]:
        """Return the SHA-256 of every input file, by path."""
        listed = sorted(self.files(config))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            digests = dict(zip(listed, pool.map(file_digest, listed), strict=True))
        for source in self.sources:
            if source.store is not None:
                digests[source.store] = json.dumps(store.attributes(source.store)["ingest"], sort_keys=True)
        return digests

    def require_unchanged(self, config: RunConfig, digests: Mapping[str, str]) -> None:
        """Check that the inputs still have the digests that they had at the start of the run.

        Raises
        ------
        InputChangedError
            If an input has changed; the message names it.
        """
        now = self.digests(config)
        changed = [path for path, digest in digests.items() if now.get(path) != digest]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise InputChangedError(
                f"{changed[0]}{more}: changed during the run, so that its products may be mixed; start over with "
                "--overwrite"
            )


def examine(config: RunConfig) -> Inputs:
    """Check all inputs of a run file; raise InputError for the first that cannot be used."""
    sources = tuple(_probed(field) for field in config.fields)
    if config.cluster.known:
        check_centre(config.cluster, sources)
    for source in sources:
        ingest.needs_store(source, config.ingest)
    regions: dict[str, Regions] = {}
    psfs: dict[str, dict[str, Psf]] = {}
    for source, field in zip(sources, config.fields, strict=True):
        with reading(f"masks of field {field.name} ({', '.join(field.masks)})"):
            regions[source.name] = region_masks(source, field.masks)
        psfs[source.name] = {
            name: _psf(source, name, band)
            for name, band in (field.bands or {}).items()
            if band.psf is not None
        }
    searched = {name for source in sources for name in source.band_names}
    others = []
    for name, band in measured_bands(config).items():
        if name in searched:  # of a field that is a store, which names its bands itself
            raise ConfigError(f"photometry.bands: {name} is a band of a field and measured anyway; remove it")
        with reading(f"photometry.bands.{name} ({band.sci})"):
            # As it is, because the name is one that no field of a run file may have.
            found = FieldInput.model_construct(
                name=f"{MEASURED_BANDS}{name}", bands={name: band}, masks=(), store=None
            )
            mosaic = probe_field(found)
        _require_on_fields(mosaic, name, band.sci, sources)
        ingest.needs_store(mosaic, config.ingest)
        psfs[mosaic.name] = {} if band.psf is None else {name: _psf(mosaic, name, band)}
        others.append(mosaic)
    with reading(f"convergence ({', '.join(config.convergence.paths) if config.convergence else ''})"):
        # Only with a lens model: the cosmology takes half a second to import.
        lens = find_lens_models(config, cosmology(config.cosmology)) if config.convergence else None
    if lens is not None:
        check_overlap(lens.kappa, sources)
        for other in (*lens.rivals.values(), *lens.alternatives.values()):
            check_overlap(other, sources)
    truth = None if config.truth is None else read_truth(config.truth)
    settings = config.photometry_settings
    extinctions(None if settings is None else settings.extinction, [*searched, *measured_bands(config)])
    return Inputs(sources, tuple(others), regions, psfs, lens, truth)


def located(config: RunConfig, sources: Sequence[FieldSource]) -> RunConfig:
    """Return the settings with the centre of the fields as pointing, if they give neither a cluster nor a centre.

    Parameters
    ----------
    config : RunConfig
        The settings of the run.
    sources : sequence of FieldSource
        Its fields, as returned by `probe_field`.
    """
    if not math.isnan(config.cluster.ra):
        return config
    middles = [pixel_to_world(one.wcs, (one.shape[0] - 1) / 2, (one.shape[1] - 1) / 2) for one in sources]
    places = SkyCoord([float(ra) for ra, _ in middles], [float(dec) for _, dec in middles], unit="deg")
    total = places.cartesian.mean()
    ra = math.degrees(math.atan2(float(total.y), float(total.x))) % 360.0
    dec = math.degrees(math.atan2(float(total.z), math.hypot(float(total.x), float(total.y))))
    # Rounded, because the last bits of trigonometric functions differ between processors and would change the run.
    return config.model_copy(update={"cluster": Pointing(ra=round(ra, 7), dec=round(dec, 7))})


def _probed(field: FieldInput) -> FieldSource:
    """Check the files of one field."""
    files = ", ".join(band.sci for band in (field.bands or {}).values()) or field.store
    with reading(f"field {field.name} ({files})"):
        return probe_field(field)


def measured_bands(config: RunConfig) -> Mapping[str, Band]:
    """Return the bands in which sources are measured, but not searched for, by name."""
    settings = config.photometry_settings
    return {} if settings is None or settings.bands is None else settings.bands


def _require_on_fields(mosaic: FieldSource, name: str, path: str, sources: Sequence[FieldSource]) -> None:
    """Refuse a mosaic in which no part of any field lies: every flux would be NaN.

    Raises
    ------
    InputError
    """
    for source in sources:
        # Either may be much the smaller one, and lie between the points of the other.
        for one, other in ((source, mosaic), (mosaic, source)):
            places = pixel_to_world(one.wcs, *sample(one.shape, 33))
            y, x = world_to_pixel(other.wcs, *places)
            with np.errstate(invalid="ignore"):
                inside = (y > -0.5) & (y < other.shape[0] - 0.5) & (x > -0.5) & (x < other.shape[1] - 0.5)
            if inside.any():
                return
    raise InputError(
        f"{path} (photometry.bands.{name}): covers no part of any field; give another file, or correct its WCS"
    )


def _psf(source: FieldSource, name: str, band: Band) -> Psf:
    """Read the PSF file of a band."""
    assert band.psf is not None
    with reading(f"{band.psf} (psf of band {name})"):
        return read_psf(
            band.psf,
            source.scale,
            band=name,
            psf_scale=band.psf_scale,
            psf_ee=None if band.psf_ee is None else (band.psf_ee.radius, band.psf_ee.fraction),
        )
