"""The text of a drafted run file, and the summary that is printed beside it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from tilegc.drafting.clusters import mentioned
from tilegc.drafting.draft import Draft
from tilegc.drafting.fields import Field
from tilegc.drafting.images import Image, Other
from tilegc.errors import InputError
from tilegc.io.psf import inspect_psf
from tilegc.places import is_url

__all__ = ["Scaling", "run_file", "summary"]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The source for which a convergence map was made; at most one of the two is given."""

    source_redshift: float | None = None
    lens_scaling: float | None = None

    @property
    def line(self) -> str:
        """The key of the run file; empty if neither is given."""
        if self.source_redshift is not None:
            return f"source_redshift: {self.source_redshift:g}"
        return "" if self.lens_scaling is None else f"lens_scaling: {self.lens_scaling:g}"


def run_file(found: Draft, folder: Path, *, recipe: str, scaling: Scaling) -> str:
    """Return the text of a run file that `tilegc plan` accepts unless a zero point is missing.

    Parameters
    ----------
    found : Draft
        Its lists of missing keys and unused files are extended.
    folder : Path
        Where the run file will be: local paths are written relative to it.
    recipe : str
        Value of `recipe`.
    scaling : Scaling
        Source redshift or D_LS/D_S of the convergence map.
    """
    lines = [
        "# Run file of tilegc, drafted by `tilegc init`. Fill in what is marked `fill in`, check the rest, then run",
        "# `tilegc plan` and `tilegc audit` with this file. `tilegc init --template` lists every other key.",
        f"recipe: {recipe}  # {_RECIPES.get(recipe, '')}".rstrip("# "),
        "",
        *_cluster(found),
        "",
        "fields:",
        *(line for one in found.fields for line in _field(found, one, folder)),
        *_photometry(found, folder, recipe),
        *_convergence(found, folder, scaling),
    ]
    return "\n".join(lines) + "\n"


_RECIPES = {
    "calibrated": "diego2026 follows the paper to the letter",
    "diego2026": "calibrated is for new science",
}


def summary(found: Draft) -> Iterator[str]:
    """Yield the lines that tell what was found, what was guessed, and what is missing."""
    for one in found.fields:
        source = one.first.source
        height, width = source.shape
        parts = [f"{height} x {width} px of {source.scale:.4g} arcsec"]
        images = list(one.bands.values())
        for word, known in (
            ("errors", [i.has_err for i in images]),
            ("weights", [i.has_wht for i in images]),
        ):
            if any(known):
                parts.append(word if all(known) else f"{word} in {sum(known)} of {len(known)} bands")
        units = list(dict.fromkeys(image.unit or "unknown unit" for image in images))
        yield f"field {one.name}: {', '.join(one.bands)}; {', '.join(parts)}; {'; '.join(units)}"
        for image in one.elsewhere:
            yield (
                f"field {one.name}: {image.band} is on another pixel grid ({image.source.scale:.4g} arcsec), "
                "for photometry.bands"
            )
    for title, texts in (("guessed", found.guesses), ("not used", found.unused), ("fill in", found.missing)):
        for text in texts:
            yield f"{title}: {text}"


def _cluster(found: Draft) -> Iterator[str]:
    cluster = found.cluster
    if cluster.complete:
        yield "cluster:"
        yield f"  name: {_scalar(cluster.name)}"
        yield f"  redshift: {cluster.redshift:g}"
        yield f"  ra: {cluster.ra:.8g}  # degrees, ICRS"
        yield f"  dec: {cluster.dec:.8g}"
        return
    yield "# Without name, redshift and centre there are no radii, no masses and no relation to dark matter."
    mark = "" if cluster.placed else "# "
    yield f"{mark}cluster:"
    yield f"#   name: {_scalar(cluster.name) if cluster.name else '          # fill in'}"
    yield (
        "#   redshift:       # fill in"
        if math.isnan(cluster.redshift)
        else f"#   redshift: {cluster.redshift:g}"
    )
    if cluster.placed:
        yield f"  ra: {cluster.ra:.8g}  # degrees, ICRS"
        yield f"  dec: {cluster.dec:.8g}"
    else:
        yield "#   ra:             # fill in: degrees, ICRS, of the brightest cluster galaxy"
        yield "#   dec:            # fill in"


def _field(found: Draft, one: Field, folder: Path) -> Iterator[str]:
    height, width = one.first.source.shape
    yield f"  - name: {one.name}  # {height} x {width} px of {one.first.source.scale:.4g} arcsec"
    yield "    bands:"
    for image in one.bands.values():
        yield f"      {image.band}: {_band(found, one, image, folder)}"
    masks = [mask for mask in found.masks if not mask.module or mask.module == one.first.module]
    if masks:
        yield f"    masks: [{', '.join(_path(mask.path, folder) for mask in masks)}]"


def _photometry(found: Draft, folder: Path, recipe: str) -> Iterator[str]:
    """Yield the bands on other pixel grids: sources are measured in them, but not searched for."""
    chosen: dict[str, tuple[Field, Image]] = {}
    for one in found.fields:
        for image in one.elsewhere:
            if chosen.setdefault(image.band, (one, image))[1].path != image.path:
                found.unused.append(
                    f"{image.path}: photometry.bands has one mosaic per band; put them together"
                )
    if not chosen:
        return
    mark = "" if recipe == "calibrated" else "# "
    yield ""
    yield f"{mark}photometry:"
    yield f"{mark}  bands:  # on other pixel grids; fluxes of the sources are measured in them, too"
    for band, (one, image) in chosen.items():
        yield f"{mark}    {band}: {_band(found, one, image, folder)}  # {image.source.scale:.4g} arcsec"


def _band(found: Draft, one: Field, image: Image, folder: Path) -> str:
    """Return the value of a band: a path, or a mapping of several."""
    sci = _path(image.path, folder)
    entries = [f"sci: {sci}"]
    entries += [
        f"{role}: {_path(path, folder)}" for role, path in (("err", image.err), ("wht", image.wht)) if path
    ]
    note = ""
    if not image.unit:
        entries.append("zero_point: null")
        note = "  # fill in zero_point: AB magnitude of one count"
    psf = _psf(found, one, image)
    if psf is not None:
        entries.append(f"psf: {_path(psf.path, folder)}")
    return (sci if len(entries) == 1 else f"{{{', '.join(entries)}}}") + note


def _psf(found: Draft, one: Field, image: Image) -> Other | None:
    """Return the PSF file of a band: that of the field's module, else one that names no module."""
    fitting = [
        psf for psf in found.psfs if psf.band == image.band and {psf.module, image.module} != {"a", "b"}
    ]
    own = [psf for psf in fitting if psf.module == image.module] or fitting
    if len(own) != 1:
        if own:
            found.unused.append(
                f"{own[0].path} and {len(own) - 1} more PSFs of {image.band}: give one of them as psf"
            )
        return None
    chosen = own[0]
    try:
        inspect_psf(chosen.path, band=image.band)
    except InputError as error:
        text = f"{chosen.path}: {str(error).split(': ', 1)[-1]}"
        if text not in found.unused:
            found.unused.append(text)
        return None
    found.guesses.append(f"field {one.name}: {chosen.path} is the PSF of {image.band}, by its name")
    return chosen


def _convergence(found: Draft, folder: Path, scaling: Scaling) -> Iterator[str]:
    """Yield the section on the convergence; commented out as long as something is missing."""
    if not found.maps:
        return
    kappas = [one for one in found.maps if one.role == "kappa"]
    kappas = [one for one in kappas if mentioned(found.cluster.name, one.path)] or kappas
    pair = _deflection(found.maps)
    active = found.cluster.complete and bool(scaling.line) and (len(kappas) == 1 or pair is not None)
    mark = "" if active else "# "
    yield ""
    yield f"{mark}convergence:"
    if kappas:
        yield f"{mark}  path: {_path(kappas[0].path, folder)}"
    elif pair is not None:
        x, y = (_path(one.path, folder) for one in pair)
        yield f"{mark}  deflection: {{x: {x}, y: {y}}}"
    if scaling.line:
        yield f"{mark}  {scaling.line}"
    else:
        yield "#   source_redshift:   # fill in this or lens_scaling (D_LS/D_S; 1.0 for the Frontier Fields' maps)"
        found.missing.append(
            "convergence.source_redshift or lens_scaling: the source for which the map was made (never guessed)"
        )
    used = {kappas[0].path} if kappas else {one.path for one in pair or ()}
    for other in found.maps:
        if other.path not in used:
            found.unused.append(f"{other.path}: one convergence map is enough; see convergence.compare")


def _deflection(maps: Sequence[Other]) -> tuple[Other, Other] | None:
    """Return the x and y components of a deflection field, told apart by their names."""
    parts = {axis: [one for one in maps if one.role == "deflection" and _axis(one) == axis] for axis in "xy"}
    if len(parts["x"]) == 1 and len(parts["y"]) == 1:
        return parts["x"][0], parts["y"][0]
    return None


def _axis(one: Other) -> str:
    words = PurePosixPath(one.path).name.lower().replace(".", "-").replace("_", "-").split("-")
    return next((axis for axis in "xy" if axis in words), "")


def _path(path: str, folder: Path) -> str:
    """Return a path relative to the run file's folder unless it is far from it; URLs as they are."""
    if is_url(path):
        return _scalar(path)
    absolute = Path(path).resolve()
    relative = os.path.relpath(absolute, folder.resolve())
    return _scalar(str(absolute) if relative.startswith("../../..") else relative)


def _scalar(text: str) -> str:
    plain: str = yaml.safe_dump(text, default_flow_style=True, width=10_000, allow_unicode=True)
    return plain.removesuffix("...\n").strip()
