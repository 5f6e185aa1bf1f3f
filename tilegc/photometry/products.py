"""Products of the phase `photometry`: the depth of every band; its columns are those of the catalogue."""

from __future__ import annotations

from typing import Any

from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.photometry.catalogue import measured_names, typical_depth
from tilegc.photometry.extinction import extinctions
from tilegc.photometry.results import Measured

__all__ = ["summarise"]


def summarise(out: Output, results: Results) -> Part:
    """Return the depth of every band of every field; None where photometry is off."""
    settings = out.config.photometry_settings
    wanted = None if settings is None else settings.extinction
    found = {
        name: round(value, 4) for name, value in extinctions(wanted, measured_names(out.context)).items()
    }
    return Part(
        run={"extinction": found or None},
        fields={name: {"photometry": _depths(out, results, name)} for name in out.context.names},
    )


def _depths(out: Output, results: Results, name: str) -> dict[str, Any] | None:
    if out.config.photometry_settings is None:
        return None
    others = (band for one in out.context.others for band in one.source.band_names)
    bands = (*out.context.source(name).band_names, *others)
    depth = typical_depth(results[Measured].candidates, name, bands)
    return {band: {"mag_5sigma": null(value)} for band, value in depth.items()}
