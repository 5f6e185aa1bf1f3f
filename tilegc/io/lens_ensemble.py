"""Range maps: realisations of one lens model, `*map###*`, whose scatter is the model's error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import fsspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tilegc import config
from tilegc.errors import ConvergenceError, one_line
from tilegc.io.convergence import Kappa, read_convergence

if TYPE_CHECKING:
    from astropy.cosmology import FlatLambdaCDM

__all__ = ["Ensemble", "find_ensemble"]

NUMBER: Final = re.compile(r"map[_-]?(\d+)", re.IGNORECASE)
"""Where a range map's name has its number."""


@dataclass(frozen=True)
class Ensemble:
    """Realisations of a lens model, each read when it is asked for: a hundred of them do not fit into memory."""

    members: tuple[config.LensMap, ...]
    """Scaled as the main map; by number, then name."""
    reference_redshift: float
    cosmology: FlatLambdaCDM
    z_lens: float

    def __len__(self) -> int:
        return len(self.members)

    @property
    def paths(self) -> tuple[str, ...]:
        """All files."""
        return tuple(path for member in self.members for path in member.paths)

    def maps(self) -> Iterator[Kappa]:
        """Yield the maps at the reference source redshift, one by one."""
        for member in self.members:
            yield read_convergence(
                member, self.cosmology, self.z_lens, self.reference_redshift, "convergence.ensemble"
            )

    def at(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
        """Interpolate every realisation at places on the sky.

        Parameters
        ----------
        ra, dec : array_like
            Degrees, ICRS; one shape.

        Returns
        -------
        ndarray of float64
            (realisation, *shape); NaN off a map.
        """
        values = np.empty((len(self), *np.shape(ra)))
        # Values at the positions are kept, maps are not: a hundred maps of 4,000^2 float64 would take 13 GB.
        for number, kappa in enumerate(self.maps()):
            values[number] = kappa.at(ra, dec)
        return values


def find_ensemble(conf: config.Convergence, cosmo: FlatLambdaCDM, z_lens: float) -> Ensemble | None:
    """Find the range maps that a run file's pattern names, and read each once to see that it can be used.

    Returns
    -------
    Ensemble or None
        None where the run file has no `convergence.ensemble`.

    Raises
    ------
    ConvergenceError
        If fewer than two are found, x and y do not pair, or one cannot be used.
    """
    if conf.ensemble is None:
        return None
    more = {
        "plane": conf.plane,
        "origin": conf.origin,
        "source_redshift": conf.source_redshift,
        "lens_scaling": conf.lens_scaling,
    }
    if isinstance(conf.ensemble, str):
        members = [config.LensMap(path=path, **more) for path in _files(conf.ensemble)]
    else:
        xs, ys = _files(conf.ensemble.x), _files(conf.ensemble.y)
        # Paired by number and not by position in the list: one missing file would shift all the others.
        if [_number(path) for path in xs] != [_number(path) for path in ys]:
            raise ConvergenceError(
                f"convergence.ensemble: {len(xs)} maps of x and {len(ys)} of y cannot be paired by their "
                "numbers (map###); give both components of every realisation"
            )
        unit = conf.ensemble.unit
        members = [
            config.LensMap(deflection=config.Deflection(x=x, y=y, unit=unit), **more)
            for x, y in zip(xs, ys, strict=True)
        ]
    found = Ensemble(tuple(members), conf.reference_redshift, cosmo, z_lens)
    # A damaged realisation is found now, before the images are processed, and not hours later.
    for _ in found.maps():
        pass
    return found


def _files(pattern: str) -> list[str]:
    try:
        system, path = fsspec.core.url_to_fs(pattern)
        names = [str(name) for name in system.glob(path)]
    except Exception as error:  # noqa: BLE001  (each remote file system has its own errors)
        raise ConvergenceError(
            f"convergence.ensemble: {pattern}: cannot be listed ({one_line(error)})"
        ) from None
    if "://" in pattern:
        names = [str(system.unstrip_protocol(name)) for name in names]
    if len(names) < 2:
        raise ConvergenceError(
            f"convergence.ensemble: {pattern}: {len(names)} files match, an ensemble needs at least two "
            "realisations; give a pattern such as *map*_kappa.fits"
        )
    return sorted(names, key=lambda name: (_number(name), name))


def _number(path: str) -> int:
    found = NUMBER.search(path.rpartition("/")[2])
    return int(found[1]) if found else -1
