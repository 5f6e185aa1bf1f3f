"""Lenstool parameter files: a parametric lens model, evaluated analytically without Lenstool.

A best-fit `.par` file goes in; convergence, shear, deflection and magnification at any position come out. Two
profiles are understood: 81, the dual pseudo-isothermal elliptical mass (dPIE; Elíasdóttir et al. 2007,
arXiv:0710.5636, appendix A; its deflections from Kassiola & Kovner 1993, ApJ 417, 450), and 14, an external shear.
Any other is refused by its number, and so is a `potfile`: leaving mass out in silence would bias every statistic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import ArrayLike, NDArray

from tilegc.errors import ConvergenceError
from tilegc.kernels.dpie import dpie_kappa
from tilegc.kernels.isothermal import isothermal

__all__ = ["Dpie", "LensFields", "LenstoolModel", "Shear", "read_par"]

Floats = NDArray[np.float64]

LIGHT_KM_S: Final = 299792.458
ARCSEC_PER_RADIAN: Final = math.degrees(1.0) * 3600.0

ROUNDEST: Final = 1e-7
"""A rounder dPIE is evaluated at this ellipticity of its radius: the closed form divides by the ellipticity's root.

Kappa is then off by 1e-7 of itself; at a much smaller value the logarithm loses more to rounding than that.
"""

HALO_CUT_ARCSEC: Final = 60.0
"""Default cut radius from which a dPIE without a magnitude counts as a cluster-scale halo."""


@dataclass(frozen=True, eq=False)
class LensFields:
    """A lens model at a set of positions, all for D_LS/D_S = 1 and of one shape."""

    kappa: Floats
    """Convergence."""
    gamma_1: Floats
    """Shear along west (positive) or north (negative)."""
    gamma_2: Floats
    """Shear at 45 degrees from west towards north."""
    alpha_x: Floats
    """Deflection to the west, arcsec."""
    alpha_y: Floats
    """Deflection to the north, arcsec."""

    def magnification(self, scaling: float) -> Floats:
        """Return the signed magnification of a source at D_LS/D_S = `scaling`; infinite on a critical curve."""
        inverse = (1.0 - scaling * self.kappa) ** 2 - scaling**2 * (self.gamma_1**2 + self.gamma_2**2)
        with np.errstate(divide="ignore"):
            result: Floats = 1.0 / inverse
        return result


@dataclass(frozen=True, kw_only=True)
class Dpie:
    """A dual pseudo-isothermal elliptical mass: Lenstool's profile 81. Lengths are in arcsec."""

    name: str
    x: float
    """Position west of the reference."""
    y: float
    """Position north of the reference."""
    ellipticity: float
    """(a^2 - b^2) / (a^2 + b^2) of the mass, from 0 to below 1."""
    angle: float
    """Degrees of the major axis from west towards north."""
    core: float
    cut: float
    velocity_dispersion: float
    """Lenstool's fiducial value, km/s."""
    redshift: float
    magnitude: float | None = None
    """Of the galaxy that the potential was scaled from; None for a halo that follows no galaxy."""

    @property
    def einstein_radius(self) -> float:
        """Strength 6 pi (sigma / c)^2 in arcsec; the fiducial sigma is not that of an isothermal sphere, hence 6."""
        return 6.0 * math.pi * (self.velocity_dispersion / LIGHT_KM_S) ** 2 * ARCSEC_PER_RADIAN

    @property
    def mass_arcsec2(self) -> float:
        """Total mass over Sigma_cr at D_LS/D_S = 1: the integral of kappa over the sky, arcsec^2."""
        e = self._epsilon
        # Lenstool's elliptical radius stretches one axis by 1 + e and the other by 1 - e.
        return math.pi * self.einstein_radius * self.cut * (1.0 - e * e)

    @property
    def row(self) -> tuple[float, ...]:
        """Numbers of this potential as `tilegc.kernels.dpie.dpie_kappa` takes them."""
        turn = math.radians(self.angle)
        # Lenstool's normalisation; with it the total mass is that of `mass_arcsec2`, whatever the core.
        strength = self.einstein_radius * self.cut / (self.cut - self.core)
        return (self.x, self.y, math.cos(turn), math.sin(turn), self._epsilon, self.core, self.cut, strength)

    @property
    def _epsilon(self) -> float:
        """Ellipticity in the sense of the elliptical radius, (1 - q) / (1 + q)."""
        e = self.ellipticity
        return max((1.0 - math.sqrt(1.0 - e * e)) / e if e else 0.0, ROUNDEST)

    def fields(self, x: Floats, y: Floats) -> LensFields:
        """Return the lens quantities at x (west) and y (north), arcsec from the reference."""
        turn = math.radians(self.angle)
        cos, sin = math.cos(turn), math.sin(turn)
        u = (x - self.x) * cos + (y - self.y) * sin
        v = (y - self.y) * cos - (x - self.x) * sin
        # A dPIE is the difference of two isothermal profiles, one softened at the core and one at the cut.
        strength = self.einstein_radius * self.cut / (self.cut - self.core)
        near, far = (isothermal(u, v, self._epsilon, radius) for radius in (self.core, self.cut))
        alpha_u, alpha_v, uu, uv, vv = (strength * (a - b) for a, b in zip(near, far, strict=True))
        # A vector turns with the axes once, the shear (a spin-2 quantity) twice.
        plus, cross = 0.5 * (uu - vv), uv
        cos_2, sin_2 = math.cos(2.0 * turn), math.sin(2.0 * turn)
        return LensFields(
            kappa=0.5 * (uu + vv),
            gamma_1=plus * cos_2 - cross * sin_2,
            gamma_2=plus * sin_2 + cross * cos_2,
            alpha_x=alpha_u * cos - alpha_v * sin,
            alpha_y=alpha_u * sin + alpha_v * cos,
        )


@dataclass(frozen=True, kw_only=True)
class Shear:
    """A constant external shear, with or without a sheet of mass: Lenstool's profile 14."""

    name: str
    gamma: float
    angle: float
    """Degrees from west towards north."""
    kappa: float
    redshift: float

    def fields(self, x: Floats, y: Floats) -> LensFields:
        """Return the lens quantities at x (west) and y (north), arcsec from the reference."""
        double = math.radians(2.0 * self.angle)
        g1, g2 = self.gamma * math.cos(double), self.gamma * math.sin(double)
        flat = np.ones(x.shape)
        return LensFields(
            kappa=self.kappa * flat,
            gamma_1=g1 * flat,
            gamma_2=g2 * flat,
            alpha_x=(self.kappa + g1) * x + g2 * y,
            alpha_y=g2 * x + (self.kappa - g1) * y,
        )


@dataclass(frozen=True)
class LenstoolModel:
    """The potentials of a `.par` file about its reference position."""

    ra: float
    """Reference, degrees, in the frame of the file's positions."""
    dec: float
    potentials: tuple[Dpie | Shear, ...]
    path: str

    def split(self, halo_cut: float = HALO_CUT_ARCSEC) -> tuple[LenstoolModel, LenstoolModel]:
        """Split the model into cluster-scale halos (and shear) and galaxies.

        Parameters
        ----------
        halo_cut : float
            A dPIE without a magnitude whose cut radius is at least this, in arcsec, is a halo.

        Returns
        -------
        halos, galaxies : LenstoolModel
            Every potential of this model is in exactly one of them.
        """

        def is_galaxy(part: Dpie | Shear) -> bool:
            return isinstance(part, Dpie) and (part.magnitude is not None or part.cut < halo_cut)

        galaxies = tuple(part for part in self.potentials if is_galaxy(part))
        halos = tuple(part for part in self.potentials if not is_galaxy(part))
        return replace(self, potentials=halos), replace(self, potentials=galaxies)

    def brightest(self, radius: float) -> Dpie | None:
        """Return the brightest galaxy within `radius` arcsec of the reference: the BCG of a file that is centred on it.

        None where no potential there has a magnitude.
        """
        inside = [
            part
            for part in self.potentials
            if isinstance(part, Dpie) and part.magnitude is not None and math.hypot(part.x, part.y) <= radius
        ]
        return min(inside, key=lambda part: part.magnitude or 0.0, default=None)

    def without(self, names: Sequence[str]) -> LenstoolModel:
        """Return the model without the potentials of these names."""
        return replace(self, potentials=tuple(part for part in self.potentials if part.name not in names))

    def offsets(self, ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
        """Return positions as arcsec west and north of the reference.

        Lenstool works on a flat sky: differences of right ascension times the cosine of the reference's declination.
        """
        # Wrapped to +-180 degrees: a field may straddle right ascension 0.
        east = (np.asarray(ra, np.float64) - self.ra + 180.0) % 360.0 - 180.0
        x = -3600.0 * math.cos(math.radians(self.dec)) * east
        return x, 3600.0 * (np.asarray(dec, np.float64) - self.dec)

    def at(self, ra: ArrayLike, dec: ArrayLike) -> LensFields:
        """Evaluate the model on the sky.

        Parameters
        ----------
        ra, dec : array_like
            Degrees, of one shape, in the frame of the file's own positions. A `.par` file does not name that frame;
            FK5 J2000 and ICRS differ by some 0.02 arcsec, which moves kappa by 1e-4 away from galaxies' cores.

        Returns
        -------
        LensFields
            Sums over all potentials, for D_LS/D_S = 1.
        """
        x, y = self.offsets(ra, dec)
        names = ("kappa", "gamma_1", "gamma_2", "alpha_x", "alpha_y")
        totals = {name: np.zeros(x.shape) for name in names}
        for part in self.potentials:
            fields = part.fields(x, y)
            for name in names:
                totals[name] += getattr(fields, name)
        return LensFields(**totals)

    def kappa(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """Return the convergence alone, as `at` has it, which is many times faster.

        Parameters
        ----------
        ra, dec : array_like
            Degrees, of one shape, in the frame of the file's own positions.

        Returns
        -------
        ndarray of float64
            For D_LS/D_S = 1.
        """
        x, y = self.offsets(ra, dec)
        # Shears add a constant and are left out of the loop over positions.
        masses = [part.row for part in self.potentials if isinstance(part, Dpie)]
        total = dpie_kappa(x, y, np.array(masses).reshape(-1, 8))
        return total + sum(part.kappa for part in self.potentials if isinstance(part, Shear))


def read_par(path: str, text: str) -> LenstoolModel:
    """Read a Lenstool parameter file.

    Parameters
    ----------
    path : str
        Name of the file, for messages.
    text : str
        Its contents.

    Returns
    -------
    LenstoolModel

    Raises
    ------
    ConvergenceError
        If the reference or a value is missing or no number, the file holds no potential, or a part of the mass is
        described in a way that is not understood.
    """
    reference: tuple[float, float] | None = None
    potentials: list[Dpie | Shear] = []
    for section, title, rows in _sections(text):
        if section == "runmode" and "reference" in rows:
            reference = _reference(path, rows["reference"])
        elif section == "potfile":
            raise ConvergenceError(
                f"{path}: potfile sections are not supported: give Lenstool's best.par, which lists every galaxy"
            )
        elif section in ("potentiel", "potential"):
            potentials.append(_potential(path, title, rows))
    if reference is None:
        raise ConvergenceError(
            f"{path}: no reference position: expected a runmode section with 'reference 3 RA DEC'"
        )
    if not potentials:
        raise ConvergenceError(
            f"{path}: no potential: expected a Lenstool parameter file with potentiel sections"
        )
    return LenstoolModel(*reference, tuple(potentials), path)


def _sections(text: str) -> Iterator[tuple[str, str, dict[str, list[str]]]]:
    """Yield each section's keyword, its title, and the words after each key; comments are dropped."""
    section, title, rows = "", "", dict[str, list[str]]()
    for line in text.splitlines():
        # Files written by different releases of Lenstool use tabs, blanks and capitals as they like.
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        key = words[0].lower()
        if not section:
            section, title, rows = key, " ".join(words[1:]), {}
        elif key == "end":
            yield section, title, rows
            section = ""
        else:
            rows[key] = words[1:]


def _reference(path: str, words: list[str]) -> tuple[float, float]:
    try:
        kind, ra, dec = words[:3]
        # Code 3 is decimal degrees; the others differ by release of Lenstool and are not guessed.
        if kind != "3":
            raise ConvergenceError(f"{path}: reference {kind}: expected 3, a position in decimal degrees")
        position = SkyCoord(float(ra), float(dec), unit="deg")
    except ValueError:
        raise ConvergenceError(f"{path}: reference: expected '3 RA DEC' in decimal degrees") from None
    return float(position.ra.deg), float(position.dec.deg)


def _potential(path: str, name: str, rows: dict[str, list[str]]) -> Dpie | Shear:
    def number(*keys: str, default: float | None = None) -> float:
        for key in keys:
            if key in rows:
                try:
                    value = float(rows[key][0])
                except (IndexError, ValueError):
                    value = math.nan
                if not math.isfinite(value):
                    raise ConvergenceError(f"{path}: potential {name}: {key} must be a number")
                return value
        if default is None:
            raise ConvergenceError(f"{path}: potential {name}: {keys[0]} is missing")
        return default

    profile = rows.get("profil", rows.get("profile", ["missing"]))[:1] or ["missing"]
    readers: dict[str, Callable[[], Dpie | Shear]] = {
        "81": lambda: _dpie(path, name, number, has_magnitude="mag" in rows),
        "14": lambda: Shear(
            name=name,
            gamma=number("gamma"),
            angle=number("angle_pos", default=0.0),
            kappa=number("kappa", default=0.0),
            redshift=number("z_lens"),
        ),
    }
    if profile[0] not in readers:
        raise ConvergenceError(
            f"{path}: potential {name}: profile {profile[0]} is not supported (81, dPIE, and 14, shear, are): "
            "give a convergence map of the model instead"
        )
    return readers[profile[0]]()


def _dpie(path: str, name: str, number: Callable[..., float], *, has_magnitude: bool) -> Dpie:
    part = Dpie(
        name=name,
        x=number("x_centre", "x_center"),
        y=number("y_centre", "y_center"),
        ellipticity=number("ellipticite", "ellipticity", default=0.0),
        angle=number("angle_pos", default=0.0),
        core=number("core_radius"),
        cut=number("cut_radius"),
        velocity_dispersion=number("v_disp"),
        redshift=number("z_lens"),
        magnitude=number("mag") if has_magnitude else None,
    )
    if not (0.0 <= part.ellipticity < 1.0 and 0.0 <= part.core < part.cut):
        raise ConvergenceError(
            f"{path}: potential {name}: expected 0 <= ellipticite < 1 and 0 <= core_radius < cut_radius"
        )
    return part
