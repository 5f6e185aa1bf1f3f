"""What stands beside the mosaics: the kappa map, the table of the truth, and the run file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from numpy.typing import NDArray

from tilegc.simulation.frame import Frame
from tilegc.simulation.mass import REFERENCE_REDSHIFT, Convergence, plane
from tilegc.simulation.mosaics import grizli_name, i2d_name
from tilegc.simulation.objects import KINDS, Objects
from tilegc.simulation.presets import Preset
from tilegc.sky import tangent_cards

__all__ = ["kappa_map", "run_file", "truth_table"]

_KAPPA_PIXEL = 0.25  # arcsec, as the Hubble Frontier Fields' maps
_KAPPA_SIDE = 4000  # px at most

_CONVERGENCE = (
    "# The sources were drawn from this map: no other family of lens models has to be allowed for.",
    f"convergence: {{path: kappa.fits, source_redshift: {REFERENCE_REDSHIFT}, family_rms: 0}}",
)

_USUAL = {
    "tiles.size": "2048",
    "mask.edge": "6.6",
    "mask.bright": "auto",
    "mask.extended": "auto",
    "mask.spikes": "auto",
    "mask.arcs": "auto",
    "inpaint.realisations": "20",
    "inpaint.seed": "1",
    "relation.box": "3.0",
    "relation.max_radius": "60.0",
}


def kappa_map(mass: Convergence, frames: Sequence[Frame], redshift: float) -> bytes:
    """Return a FITS file of kappa at source redshift 3, north up, round the cluster and over all fields."""
    first = frames[0]
    reach = 10.0
    for frame in frames:
        x, y = np.array([0.0, frame.nx, 0.0, frame.nx]), np.array([0.0, 0.0, frame.ny, frame.ny])
        xi, eta = frame.plane(x, y)
        reach = max(reach, float(np.abs(np.r_[xi, eta]).max()) + 5.0)
    pixel = max(_KAPPA_PIXEL, 2.0 * reach / _KAPPA_SIDE)
    half = math.ceil(reach / pixel)
    axis = np.asarray((np.arange(2 * half + 1) - half) * pixel, np.float64)
    kappa = mass.kappa(-axis[None, :], axis[:, None]).astype(np.float32)
    header = fits.Header(
        tangent_cards(first.ra, first.dec, reference=(half + 1.0, half + 1.0), step=(-pixel, pixel))
    )
    for key, value, comment in (
        ("BUNIT", "", "convergence kappa"),
        ("ZLENS", redshift, "redshift of the lens"),
        ("ZSOURCE", REFERENCE_REDSHIFT, "redshift of the sources"),
    ):
        header[key] = (value, comment)
    return _fits_bytes(kappa, header)


def _fits_bytes(data: NDArray[np.floating], header: fits.Header) -> bytes:
    buffer = io.BytesIO()
    fits.PrimaryHDU(data, header).writeto(buffer)
    return buffer.getvalue()


def truth_table(preset: Preset, objects: Objects, frames: Sequence[Frame], bands: Sequence[str]) -> bytes:
    """Return the table of every object as Parquet.

    Columns: `id` (row), `kind`, `field` (empty if on none), `ra`, `dec` (degrees), `x`, `y` (0-based
    pixel in that field, NaN if on none), `flux_<band>` (nJy, total), `mag_f150w` (AB), `r_e` (half-light
    radius in pixels, 0 for points; of an arc its radius of curvature). Where there is a cluster, the metadata
    hold the planted law kappa = A n^b of the globular clusters: `law_amplitude` and `law_index`.
    """
    ra, dec = plane(frames[0].ra, frames[0].dec).radec(objects.xi, objects.eta)
    field = np.full(len(objects), -1)
    x, y = np.full(len(objects), np.nan), np.full(len(objects), np.nan)
    for n, frame in enumerate(frames):
        fx, fy = frame.pixel(objects.xi, objects.eta)
        here = frame.holds(fx, fy) & (field < 0)
        field[here], x[here], y[here] = n, fx[here], fy[here]
    names = np.array([*(frame.name for frame in frames), ""])
    columns = {
        "id": np.arange(len(objects), dtype=np.int64),
        "kind": pa.array(np.array(KINDS)[objects.kind].tolist(), pa.string()),
        "field": pa.array(names[field].tolist(), pa.string()),
        "ra": ra,
        "dec": dec,
        "x": x,
        "y": y,
        **{f"flux_{band}": objects.flux[:, n] for n, band in enumerate(bands)},
        "mag_f150w": objects.mag,
        "r_e": objects.radius / frames[0].scale,
    }
    table = pa.table(columns)
    if preset.mass is not None:
        law = preset.globulars.law
        table = table.replace_schema_metadata({"law_amplitude": repr(law[0]), "law_index": repr(law[1])})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def run_file(
    preset: Preset,
    frames: Sequence[Frame],
    bands: Sequence[str],
    layout: str,
    recipe: str = "diego2026",
) -> str:
    """Return the text of the run file.

    Parameters
    ----------
    preset : Preset
        Its `run` holds the settings that differ from the usual ones.
    frames : sequence of Frame
    bands : sequence of str
    layout : str
        ``i2d`` or ``grizli``.
    recipe : str
        For ``diego2026`` the file spells out masks and detection; other recipes choose their own.
    """
    unknown = set(preset.run) - set(_USUAL)
    assert not unknown, unknown
    s = {**_USUAL, **preset.run}
    first = frames[0]
    cluster = (
        f"name: {preset.cluster_name}, redshift: {preset.redshift}, ra: {first.ra!r}, dec: {first.dec!r}"
    )
    lines = [
        f"# A mock cluster: `tilegc simulate`, preset {preset.name}.",
        f"recipe: {recipe}",
        *([] if preset.mass is None else [f"cluster: {{{cluster}}}"]),
        "cosmology: {H0: 70.0, Om0: 0.3}",
        "fields:",
    ]
    for frame in frames:
        lines += [f"  - name: {frame.name}", "    bands:"]
        for band in bands:
            if layout == "i2d":
                lines.append(f"      {band}: {i2d_name(frame.name, band)}")
            else:
                sci, wht = (grizli_name(frame.name, band, part) for part in ("sci", "wht"))
                lines.append(f"      {band}: {{sci: {sci}, wht: {wht}}}")
    paper = recipe == "diego2026"
    keys = ("edge", "bright", "extended", "spikes", "arcs")
    mask = ", ".join(f"{key}: {s[f'mask.{key}']}" for key in keys if paper or f"mask.{key}" in preset.run)
    lines += [
        *(_CONVERGENCE if preset.has_kappa else ()),
        "truth: truth.parquet",
        f"tiles: {{size: {s['tiles.size']}}}",
        *([f"mask: {{{mask}}}"] if mask else []),
        *(["detect: {exclusion_radius: 3.0, threshold: {sigma: 2.5}, keep: 2.0}"] if paper else []),
        f"inpaint: {{realisations: {s['inpaint.realisations']}, seed: {s['inpaint.seed']}}}",
        f"relation: {{box: {s['relation.box']}, max_radius: {s['relation.max_radius']}}}",
    ]
    return "\n".join(lines) + "\n"
