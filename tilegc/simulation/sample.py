"""Mock samples of clusters: masses, redshifts, depths and bands that differ, and inputs that are broken on purpose.

Masses M200 follow a power law, dN/dM ~ M^-3.5 between 5e14 and 2.5e15 Msun, roughly as steep as the mass function of
massive clusters. Redshifts are uniform in
comoving volume between 0.2 and 0.6. A cluster has the shape of the analytic Abell S1063 (`AnalyticMass`, M200 = 2.0e15
Msun at 0.348), self-similarly scaled: its sizes with r200 ~ (M / E(z)^2)^(1/3), its surface density with M / r200^2.

The surface density of globular clusters follows one law in physical units, N = N_0 (Sigma / Sigma_0)^c per kpc^2, with
Sigma_0 = 0.4 of Abell S1063's critical density at source redshift 3. ln N_0 and c scatter from cluster to cluster, as
much as `SCATTER_LN_N` and `SCATTER_POWER` say. Galaxies, stars and background are the same at all redshifts.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import Table

from tilegc import config, sky
from tilegc.errors import ConfigError
from tilegc.simulation.arguments import checked_folder
from tilegc.simulation.make import simulate
from tilegc.simulation.mass import REFERENCE_REDSHIFT
from tilegc.simulation.mosaics import i2d_name, write_whole
from tilegc.simulation.presets import USUAL, Globulars, Preset, find_preset

if TYPE_CHECKING:
    from astropy.cosmology import FlatLambdaCDM

__all__ = ["MockCluster", "draw_sample", "preset_of", "simulate_sample"]

MASSES: Final = (5e14, 2.5e15)
"""Limits of M200, Msun."""
MASS_SLOPE: Final = 3.5
REDSHIFTS: Final = (0.2, 0.6)
TEMPLATE_MASS: Final = 2.0e15
"""M200 of the cluster whose shape is scaled, Msun."""
SCATTER_LN_N: Final = 0.20
"""Standard deviation between clusters of ln N_0."""
SCATTER_POWER: Final = 0.10
"""Standard deviation between clusters of c."""
DEPTHS: Final = (0.0, 0.0, -0.3, 0.3, -0.6)
"""Depths of successive clusters against the preset's, mag."""
BAND_SETS: Final = (
    ("F090W", "F115W", "F150W", "F200W"),
    ("F115W", "F150W", "F200W"),
    ("F090W", "F150W"),
)
"""Bands of successive clusters."""

LEAST_WITH_BROKEN: Final = 5
"""Smallest sample with a blank field and two broken inputs."""

Progress = Callable[[int, int, str], object]


@dataclass(frozen=True, kw_only=True)
class MockCluster:
    """One cluster of a mock sample, as it was drawn."""

    name: str
    kind: str
    """cluster, blank (a field without a cluster), truncated (a mosaic cut short), or undeclared (the run file does not
    declare the scaling of the convergence map)."""
    mass: float
    """M200, Msun; NaN for a blank field."""
    redshift: float
    ra: float
    dec: float
    """Centre, degrees."""
    depth: float
    """Against the preset's, mag."""
    bands: tuple[str, ...]
    with_kappa: bool
    ln_density: float
    """ln of the number of globular clusters per kpc^2 at Sigma_0, relative to the population's mean."""
    power: float
    """c of N = N_0 (Sigma / Sigma_0)^c."""


def draw_sample(number: int, seed: int = 1) -> tuple[MockCluster, ...]:
    """Draw the clusters of a mock sample.

    Parameters
    ----------
    number : int
        Clusters, at least 1. From 5 on, one of them is a blank field and two have broken inputs; a quarter of
        the others has no convergence map.
    seed : int
        The same numbers give the same sample.

    Raises
    ------
    ConfigError
        If the number is not positive.
    """
    if number < 1:
        raise ConfigError(f"sample: {number} clusters; give at least 1")
    draw = np.random.default_rng([seed, number])
    low, high = (limit ** (1.0 - MASS_SLOPE) for limit in MASSES)
    mass = (low + draw.uniform(size=number) * (high - low)) ** (1.0 / (1.0 - MASS_SLOPE))
    redshift = _redshifts(draw.uniform(size=number))
    ra, dec = 360.0 * draw.uniform(size=number), np.degrees(np.arcsin(draw.uniform(-0.8, 0.8, number)))
    scatter, power = (
        draw.normal(size=number) * SCATTER_LN_N,
        USUAL.power + draw.normal(size=number) * SCATTER_POWER,
    )
    width = len(str(number))
    return tuple(
        MockCluster(
            name=f"mock{n + 1:0{width}d}",
            kind=(kind := _kind(n, number)),
            mass=math.nan if kind == "blank" else float(mass[n]),
            redshift=math.nan if kind == "blank" else round(float(redshift[n]), 4),
            ra=round(float(ra[n]), 5),
            dec=round(float(dec[n]), 5),
            depth=DEPTHS[n % len(DEPTHS)],
            bands=BAND_SETS[n % len(BAND_SETS)],
            with_kappa=kind == "undeclared" or (kind != "blank" and n % 4 != 3),
            ln_density=float(scatter[n]),
            power=float(power[n]),
        )
        for n in range(number)
    )


def simulate_sample(
    directory: str | Path,
    number: int,
    *,
    preset: str | Preset = "tiny",
    seed: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write a mock sample: a directory for each cluster, as `simulate` writes it, and `sample.yaml`.

    `sample_truth.ecsv` contains what was drawn for each cluster.

    Parameters
    ----------
    directory : path
        Made if absent; must be empty unless `overwrite`.
    number : int
        Clusters; see `draw_sample`.
    preset : str or Preset
        Sizes of the fields and all else that does not differ between clusters.
    seed : int
        Not negative. Cluster k uses seed + k for its sky.
    overwrite : bool
        Write into a directory that is not empty.
    progress : callable, optional
        Called as ``progress(done, total, label)``; all clusters have the same share.
    **options
        Other arguments of `simulate`: size, psf, psf_model, steps, stripes, wisps, oversubtraction, cores, tile.

    Returns
    -------
    Path
        The sample file.

    Raises
    ------
    ConfigError, RunFolderError, ResourceError
        As `simulate` raises them.
    """
    base, drawn = find_preset(preset), draw_sample(number, seed)
    folder = checked_folder(Path(directory), overwrite=overwrite)
    sample = folder / "sample.yaml"
    sample.unlink(missing_ok=True)
    for n, one in enumerate(drawn):

        def tell(done: int, total: int, label: str, *, n: int = n, one: MockCluster = one) -> None:
            if progress is not None:
                progress(n * total + done, number * total, f"{one.name}, {label}")

        run = simulate(
            folder / one.name,
            preset=preset_of(base, one),
            seed=seed + n,
            bands=one.bands,
            overwrite=overwrite,
            progress=tell,
            **options,
        )
        _break(run, one, base)
    write_whole(folder / "sample_truth.ecsv", _truth(drawn))
    write_whole(sample, _sample_file(drawn, base, seed).encode())
    return sample


def _kind(n: int, number: int) -> str:
    if number < LEAST_WITH_BROKEN:
        return "cluster"
    # Spread over the sample: a blank field in the middle, broken inputs at a quarter and at the end.
    return {number // 4: "truncated", number // 2: "blank", number - 1: "undeclared"}.get(n, "cluster")


def _cosmology() -> FlatLambdaCDM:
    return sky.cosmology(config.Cosmology())


def _redshifts(uniform: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return redshifts uniform in comoving volume."""
    z = np.linspace(*REDSHIFTS, 201)
    volume = _cosmology().comoving_volume(z).value
    return np.asarray(np.interp(uniform, (volume - volume[0]) / (volume[-1] - volume[0]), z))


def preset_of(base: Preset, one: MockCluster) -> Preset:
    """Return the preset of one cluster: mass, redshift, place, depth and globular clusters."""
    moved = replace(
        base,
        cluster_name=one.name,
        ra=one.ra,
        dec=one.dec,
        depth=base.depth + one.depth,
        with_kappa=one.with_kappa,
    )
    if one.kind == "blank":
        return replace(moved, mass=None)
    assert base.mass is not None, f"preset {base.name} has no cluster"
    cosmo, z, z0 = _cosmology(), one.redshift, base.redshift
    scale = sky.kpc_per_arcsec(cosmo, z) / sky.kpc_per_arcsec(cosmo, z0)
    critical = _critical(cosmo, z) / _critical(cosmo, z0)
    growth = float((cosmo.efunc(z) / cosmo.efunc(z0)) ** 2)
    size = (one.mass / TEMPLATE_MASS / growth) ** (1.0 / 3.0)  # of r200, kpc
    density = one.mass / TEMPLATE_MASS / size**2
    return replace(
        moved,
        redshift=z,
        mass=base.mass.scaled(kappa=density / critical, angle=size / scale),
        globulars=Globulars(
            # per arcsec^2 at kappa = 0.4, which is another surface density than at the template's redshift
            density=scale**2 * critical**one.power * math.exp(one.ln_density),
            power=one.power,
            dimming=float((cosmo.distmod(z) - cosmo.distmod(z0)).value),
        ),
    )


def _critical(cosmo: FlatLambdaCDM, z: float) -> float:
    return sky.sigma_critical(cosmo, z, sky.lens_scaling(cosmo, z, REFERENCE_REDSHIFT))


def _break(run: Path, one: MockCluster, base: Preset) -> None:
    """Damage the inputs of a cluster that is to be refused."""
    if one.kind == "truncated":
        mosaic = run.parent / i2d_name(base.fields[0].name, one.bands[0])
        content = mosaic.read_bytes()
        write_whole(mosaic, content[: len(content) // 2])
    elif one.kind == "undeclared":
        text = run.read_text(encoding="utf-8")
        write_whole(run, text.replace(f", source_redshift: {REFERENCE_REDSHIFT}", "").encode())


def _truth(drawn: tuple[MockCluster, ...]) -> bytes:
    table = Table(
        {
            "name": [one.name for one in drawn],
            "kind": [one.kind for one in drawn],
            "m200": [one.mass for one in drawn],
            "redshift": [one.redshift for one in drawn],
            "ln_density": [one.ln_density for one in drawn],
            "power": [one.power for one in drawn],
            "depth": [one.depth for one in drawn],
            "bands": [",".join(one.bands) for one in drawn],
            "with_kappa": [one.with_kappa for one in drawn],
        },
        units={"m200": "Msun", "depth": "mag"},
        meta={"scatter_ln_density": SCATTER_LN_N, "mean_power": USUAL.power, "scatter_power": SCATTER_POWER},
    )
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _sample_file(drawn: tuple[MockCluster, ...], base: Preset, seed: int) -> str:
    lines = [
        f"# A mock sample: `tilegc simulate --sample {len(drawn)}`, preset {base.name}, seed {seed}.",
        "# Analyse it with `tilegc survey`; `tilegc survey plan` lists what would be refused.",
        "clusters:",
        *(f"  - {{name: {one.name}, run: {one.name}/run.yaml}}" for one in drawn),
    ]
    return "\n".join(lines) + "\n"
