"""The mock clusters that can be asked for by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from tilegc.errors import ConfigError
from tilegc.simulation.depth import Patch, usual_pattern
from tilegc.simulation.faults import NO_FAULTS, Faults
from tilegc.simulation.mass import AnalyticMass
from tilegc.simulation.noise import DEPTH

__all__ = [
    "BANDS",
    "PRESETS",
    "USUAL",
    "Arc",
    "FieldPlan",
    "Globulars",
    "Preset",
    "before_optics",
    "find_preset",
]

BANDS: tuple[str, ...] = ("F090W", "F115W", "F150W", "F200W")
"""NIRCam's short-wavelength bands that the simulator knows."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Arc:
    """A giant arc on a circle round the cluster centre."""

    radius: float
    """arcsec."""
    position_angle: float
    """Of its middle, degrees east of north."""
    length: float
    """Degrees, end to end."""
    mag: float
    """AB magnitude in F150W of its smooth light."""
    clumps: int
    """Number of star-forming clumps along it."""
    width: float = 0.10
    """Gaussian sigma across, arcsec."""


@dataclass(frozen=True)
class FieldPlan:
    """One module's mosaic."""

    name: str
    size: int
    """Side in pixels."""
    cluster: tuple[float, float] | None
    """Where on it the cluster centre lies, as fractions of (x, y); None for the field beside it."""
    stars: int
    """Number of stars with spikes."""
    star_mags: tuple[float, float]
    """Their brightest and faintest AB magnitude in F150W."""
    holes: tuple[Box, ...] = ((-0.1, -0.1, 0.05, 0.06), (0.62, 0.885, 0.78, 0.893))
    """Rectangles without data (x0, y0, x1, y1) in fractions of the side: a notch and a thin strip."""
    gap_at: tuple[float, float] = (0.77, 0.22)
    """Where the gaps between the detectors cross, fractions of the side."""
    turn: float = 0.9
    """Angle of the telescope against the mosaic's axes in this module, degrees from x towards y."""
    depth: tuple[Patch, ...] = ()
    """Parts of the field with noise of their own."""


@dataclass(frozen=True)
class Globulars:
    """Number and brightness of the globular clusters; by default those of Abell S1063."""

    density: float = 1.0
    """Per arcsec^2 where kappa = 0.4 at source redshift 3, of those brighter than F150W = 30.9 + `dimming`."""
    power: float = 1.0 / 0.7
    """c of n = density (kappa / 0.4)^c."""
    dimming: float = 0.0
    """Magnitudes by which they are fainter than at redshift 0.348."""

    @property
    def law(self) -> tuple[float, float]:
        """A and b of the same law, written as kappa = A n^b."""
        return 0.4 * self.density ** (-1.0 / self.power), 1.0 / self.power


USUAL = Globulars()
"""The globular clusters of Abell S1063."""


@dataclass(frozen=True)
class Preset:
    """A mock cluster: its fields, what lies in them, and the run settings that suit its size."""

    name: str
    purpose: str
    fields: tuple[FieldPlan, ...]
    cluster_name: str = "MOCK-AS1063"
    redshift: float = 0.348
    ra: float = 342.18322
    dec: float = -44.53091
    scale: float = 0.03
    """Pixel, arcsec."""
    rotation: float = 14.0
    """Position angle of the mosaics' y axis, degrees east of north."""
    separation: float = 174.0
    """From the cluster to the middle of the field beside it, arcsec (2.9 arcmin: NIRCam's modules)."""
    bands: tuple[str, ...] = BANDS
    dither: float = 60.0
    """Half width of the dither pattern, px."""
    gap: float = 44.0
    """Width of the gap between detectors, px; the dithers cover it in part."""
    arcs: tuple[Arc, ...] = (
        Arc(radius=11.0, position_angle=235.0, length=84.0, mag=21.3, clumps=22),
        Arc(radius=19.5, position_angle=85.0, length=34.0, mag=22.4, clumps=12),
    )
    faults: Faults = NO_FAULTS
    psf: str = "optical"
    """PSF model where none is asked for."""
    members: float = 1.0
    """Number of cluster members, relative to 120 within an arcminute."""
    galaxies: float = 1.0
    """Number of galaxies before and behind the cluster, relative to 25 per arcmin^2."""
    depth: float = DEPTH
    """AB magnitude of a point source at 5 sigma in every band."""
    mass: AnalyticMass | None = field(default_factory=AnalyticMass)
    """Convergence of the cluster; None for a blank field, without cluster, globular clusters or convergence map."""
    globulars: Globulars = USUAL
    with_kappa: bool = True
    """Whether a convergence map is written and named in the run file."""
    run: Mapping[str, str] = field(default_factory=dict)
    """Settings of the run file that differ from the usual ones: dotted key to YAML text."""

    @property
    def has_kappa(self) -> bool:
        """Whether there is a convergence map."""
        return self.with_kappa and self.mass is not None


_SMALL_MAGS = (17.6, 20.8)

_TINY = Preset(
    name="tiny",
    purpose="tests: seconds from FITS to report",
    fields=(
        FieldPlan(name="a", size=512, cluster=(0.5, 0.5), stars=1, star_mags=(18.0, 18.4)),
        FieldPlan(name="b", size=384, cluster=None, stars=1, star_mags=(19.5, 20.5)),
    ),
    separation=40.0,
    dither=6.0,
    gap=6.0,
    arcs=(Arc(radius=4.6, position_angle=200.0, length=75.0, mag=23.2, clumps=7),),
    run=MappingProxyType(
        {
            "tiles.size": "128",
            "mask.edge": "1.0",
            "inpaint.realisations": "5",
            "relation.box": "1.5",
            "relation.max_radius": "12.0",
        }
    ),
)

_SMALL = Preset(
    name="small",
    purpose="the demo: a minute from FITS to report",
    fields=(
        FieldPlan(name="a", size=1500, cluster=(0.5, 0.5), stars=3, star_mags=_SMALL_MAGS),
        FieldPlan(name="b", size=1200, cluster=None, stars=6, star_mags=_SMALL_MAGS, turn=0.4),
    ),
    dither=16.0,
    gap=14.0,
    run=MappingProxyType({"tiles.size": "512"}),
)

_AS1063 = Preset(
    name="as1063",
    purpose="the size of the real thing: two modules of 2.2 arcmin",
    fields=(
        FieldPlan(name="a", size=4400, cluster=(0.47, 0.46), stars=8, star_mags=(15.0, 21.0)),
        FieldPlan(name="b", size=4400, cluster=None, stars=7, star_mags=(15.5, 21.0), turn=0.4),
    ),
    members=4.0,
    galaxies=4.0,
    depth=30.2,
)

_STEPS = Preset(
    name="steps",
    purpose="tests of noise: a mosaic whose depth steps by 3 in noise",
    fields=(
        FieldPlan(
            name="a",
            size=1500,
            cluster=(0.5, 0.5),
            stars=3,
            star_mags=_SMALL_MAGS,
            depth=usual_pattern(3.0, beside=False),
        ),
        FieldPlan(
            name="b",
            size=1500,
            cluster=None,
            stars=4,
            star_mags=_SMALL_MAGS,
            turn=0.4,
            depth=usual_pattern(3.0, beside=True),
        ),
    ),
    dither=16.0,
    gap=14.0,
    run=MappingProxyType({"tiles.size": "512", "mask.edge": "1.0"}),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({p.name: p for p in (_TINY, _SMALL, _AS1063, _STEPS)})
"""The presets by name."""


def find_preset(name: str | Preset) -> Preset:
    """Return the preset of that name; a preset is returned as it is.

    Raises
    ------
    ConfigError
        If there is none; the message lists those there are.
    """
    if isinstance(name, Preset):
        return name
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(PRESETS)
        raise ConfigError(f"preset: unknown {name!r}; use one of {known}") from None


def before_optics(preset: Preset) -> Preset:
    """Return a preset with the galaxies and the depth of the mocks made with round PSFs, which stay as they were."""
    return replace(preset, members=1.0, galaxies=1.0, depth=DEPTH)
