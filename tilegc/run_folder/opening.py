"""A run's folder as xarray datasets and astropy tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tilegc import config as run_file
from tilegc.config import RunConfig
from tilegc.errors import ConfigError, RunFolderError
from tilegc.geometry import Box
from tilegc.places import Place
from tilegc.run_folder.checking import Check
from tilegc.run_folder.late import open_store, tables
from tilegc.run_folder.layout import MAPS, map_name
from tilegc.run_folder.showing import as_html, one_line
from tilegc.run_folder.status import require
from tilegc.schema import FILES, SCHEMA_VERSION, SKY_STORE

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import QTable
    from astropy.wcs import WCS
    from matplotlib.axes import Axes

__all__ = ["Run", "open_run"]


@dataclass(frozen=True, repr=False)
class Run:
    """What a run gave.  Tables and datasets are read when they are asked for, and not kept.

    Anything that the run has not written yet raises a `RunFolderError` with one line.

    Examples
    --------
    >>> run
    <Run ...run: diego2026, done, fields a, b, ... sources>
    >>> run.sources["coord"][0].to_string("hmsdms", precision=1)
    '22h48m...s -44d31m...s'
    >>> run.cutout(run.catalogue["id"][0], size=15)["detection"].shape
    (15, 15)
    """

    path: Place
    config: RunConfig
    """The resolved run file."""
    manifest: Mapping[str, Any] = field(repr=False)
    """Versions, inputs, digests."""
    check: Check = field(repr=False, compare=False)
    """Compares what is read with the digests."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(one.name for one in self.config.fields)

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of summary.json."""
        content: dict[str, Any] = json.loads(self._there(FILES.summary).read_bytes())
        return content

    @property
    def candidates(self) -> QTable:
        """All peaks >= T, with units."""
        return tables().read_parquet(self._there(FILES.candidates))

    @property
    def catalogue(self) -> QTable:
        """The sources: candidates >= keep x T, with units."""
        return tables().read_parquet(self._there(FILES.catalogue))

    @property
    def sources(self) -> QTable:
        """The catalogue with a column `coord` of sky coordinates (`astropy.coordinates.SkyCoord`, ICRS)."""
        from astropy.coordinates import SkyCoord  # noqa: PLC0415  (takes a while to import)

        table = self.catalogue
        table["coord"] = SkyCoord(table["ra"], table["dec"], frame="icrs")
        return table

    @property
    def inpainted(self) -> QTable:
        """The drawn sources under the mask, with units."""
        return tables().read_parquet(self._there(FILES.inpainted))

    @property
    def artificial(self) -> QTable:
        """The artificial stars, with units; only of a run with `completeness`."""
        return tables().read_parquet(self._there(self._with_stars(FILES.artificial)))

    @property
    def completeness(self) -> QTable:
        """Depths by field, band, zone of noise and annulus; only of a run with `completeness`."""
        return tables().read_ecsv(self._there(self._with_stars(FILES.completeness)))

    @property
    def luminosity(self) -> QTable:
        """Counts by annulus and magnitude against the luminosity function; only of a run with `completeness`."""
        return tables().read_ecsv(self._there(self._with_stars(FILES.luminosity)))

    @property
    def relation(self) -> QTable:
        """Counts n against kappa in bins, with units; only of a run with a convergence map."""
        if self.config.convergence is None:
            raise RunFolderError(f"{self.path}: no relation: the run file has no convergence map")
        return tables().read_ecsv(self._there(FILES.relation))

    @property
    def ranking(self) -> QTable:
        """The run's kappa map ranked against others; without a row where there is no convergence map."""
        return tables().read_ecsv(self._there(FILES.ranking))

    @property
    def sensitivity(self) -> QTable:
        """Relation and comparison with parts of the sources; without a row where there is no convergence map."""
        return tables().read_ecsv(self._there(FILES.sensitivity))

    @property
    def assumptions(self) -> QTable:
        """The law of counts with one assumption changed at a time; without a row where there is no law."""
        return tables().read_ecsv(self._there(FILES.assumptions))

    @property
    def goodness(self) -> QTable:
        """Tests of the law of counts; without a row where there is no law."""
        return tables().read_ecsv(self._there(FILES.goodness))

    @property
    def cumulative(self) -> QTable:
        """Residuals of the law summed along kappa, radius, light and angle; without a row where there is no law."""
        return tables().read_ecsv(self._there(FILES.cumulative))

    @property
    def excesses(self) -> QTable:
        """Places with more or fewer sources than the law gives; without a row where there is no law."""
        return tables().read_ecsv(self._there(FILES.excesses))

    @property
    def profile(self) -> QTable:
        """The radial profiles, with units."""
        return tables().read_ecsv(self._there(FILES.profile))

    @property
    def radial(self) -> QTable:
        """Sources, kappa, light and rho in round and elliptical annuli over all fields, with units."""
        return tables().read_ecsv(self._there(FILES.radial))

    @property
    def shape(self) -> QTable:
        """Axis ratio and position angle of each tracer in rings."""
        return tables().read_ecsv(self._there(FILES.shape))

    @property
    def masses(self) -> QTable:
        """Masses and checks, each with its arithmetic; units stand in a column."""
        return tables().read_ecsv(self._there(FILES.masses))

    @property
    def contamination(self) -> QTable:
        """The contamination by every way there is, with units."""
        return tables().read_ecsv(self._there(FILES.contamination))

    @property
    def purity(self) -> QTable:
        """Purity against signal-to-noise by zone of noise, with units."""
        return tables().read_ecsv(self._there(FILES.purity))

    @property
    def pattern(self) -> QTable:
        """The strongest periodicity of the sources' positions in slices of signal-to-noise, with units."""
        return tables().read_ecsv(self._there(FILES.pattern))

    @property
    def masked(self) -> QTable:
        """Area of every bit of the mask against radius, with units."""
        return tables().read_ecsv(self._there(FILES.masked))

    @property
    def stars(self) -> QTable:
        """The bright stars and the discs that mask their wings, with units."""
        return tables().read_ecsv(self._there(FILES.stars))

    def field(self, name: str) -> xr.Dataset:
        """Return a field's arrays, dask-backed: sci, err, wht (if ingested), mask, detection, rho, density.

        Parameters
        ----------
        name : str
            One of `fields`.

        Returns
        -------
        xarray.Dataset
            Dims (band, y, x), coordinates y and x in pixels of the field; units and meaning in the arrays' attrs;
            header, wcs and schema version in its own. `ds.tilegc` has its WCS, pictures and cut-outs.
        """
        from tilegc.run_folder import datasets  # noqa: F401, PLC0415  (registers `ds.tilegc`)

        # Pixel coordinates are added on opening and are not in the store: they would be one more array to
        # keep consistent.
        data = self._arrays(name)
        return data.assign_coords({axis: range(data.sizes[axis]) for axis in ("y", "x")})

    def _arrays(self, name: str) -> xr.Dataset:
        given = next(one.store for one in self.config.fields if one.name == self._known(name))
        data = open_store(self._there(f"{FILES.store}/{name}.zarr"))
        if given is None or "sci" in data:
            return data
        # the pixels stand in the store that the run file names
        earlier = open_store(given)
        return data.assign({key: earlier[key] for key in ("sci", "err", "wht") if key in earlier})

    def window(self, name: str, array: str, box: Box) -> NDArray[Any]:
        """Return a window of a map of a field, which the run wrote: faster than through `field`."""
        from tilegc.io import store  # noqa: PLC0415  (only who reads pixels pays)

        path = f"{FILES.store}/{self._known(name)}.zarr"
        self.check.require(f"{path}/{array}")
        return store.read(str(self._exists(path)), array, box)

    def sky(self) -> xr.Dataset:
        """Return the sky grid: counts, areas, light and rho at (field, eta, xi), kappa at (eta, xi), lazily."""
        return open_store(self._there(f"{FILES.store}/{SKY_STORE}.zarr"), chunks=None)

    def wcs(self, name: str) -> WCS:
        """Return a field's celestial WCS."""
        from tilegc.sky import wcs_from_text  # noqa: PLC0415  (astropy.wcs takes a while to import)

        path = self._exists(f"{FILES.store}/{self._known(name)}.zarr")
        text: str = open_store(path).attrs["wcs"]
        return wcs_from_text(text)

    def plot(
        self,
        field: str | None = None,
        band: str | None = None,
        *,
        sources: bool = True,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw an image of a field with its sources, and right ascension and declination along its sides.

        Parameters
        ----------
        field : str, optional
            Name of the field; the one with the most sources by default.
        band : str, optional
            A band, or a map such as `density`; the detection map by default.
        sources : bool
            Whether the sources of the catalogue are marked.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure with WCS axes by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        catalogue = self.catalogue
        names = list(catalogue["field"])
        name = max(self.fields, key=names.count) if field is None else field
        shown = catalogue[catalogue["field"] == name] if sources else None
        data = self.field(name)
        if band is not None and band in (self._described(name).bands or ()):
            data = self._with_bands(data, name, Box(0, 0, data.sizes["y"], data.sizes["x"]), [band])
        axes: Axes = data.tilegc.plot(band, shown, ax)
        return axes

    def cutout(self, id: int, size: int = 41) -> xr.Dataset:  # noqa: A002  (the column's name)
        """Return a square of all bands and maps of a field about a source, cut off at the borders of the field.

        Parameters
        ----------
        id : int
            `id` of the source in the catalogue.
        size : int
            Side, pixels.

        Returns
        -------
        xarray.Dataset
            Coordinates in pixels of the field; `ds.tilegc.wcs` is the WCS of the cut-out.
        """
        catalogue = self.catalogue
        rows = catalogue[catalogue["id"] == id]
        if not len(rows):
            raise RunFolderError(f"{self.path}: no source {id} in the catalogue")
        name = str(rows["field"][0])
        data = self.field(name)
        y0, x0 = (round(rows[axis][0].value) - size // 2 for axis in ("y_peak", "x_peak"))
        whole = Box(0, 0, data.sizes["y"], data.sizes["x"])
        window = Box(y0, x0, y0 + size, x0 + size).clip(whole)
        flat = [key for key, array in data.data_vars.items() if {"y", "x"} <= set(array.dims)]
        return self._with_bands(data[flat], name, window)

    def _described(self, name: str) -> run_file.FieldInput:
        return next(one for one in self.config.fields if one.name == self._known(name))

    def _with_bands(self, data: xr.Dataset, name: str, box: Box, bands: Sequence[str] = ()) -> xr.Dataset:
        from tilegc.run_folder.datasets import with_bands  # noqa: PLC0415  (only who reads pixels pays)

        return with_bands(data, self._described(name), box, bands)

    def __repr__(self) -> str:
        return one_line(self.path, self.manifest, self._summary_or_none())

    def _repr_html_(self) -> str:
        return as_html(self.path, self.manifest, self._summary_or_none())

    def _summary_or_none(self) -> dict[str, Any] | None:
        return self.summary if (self.path / FILES.summary).exists() else None

    def map_path(self, name: str, kind: str) -> Place:
        """Return the FITS file of a field's map: detection, mask, rho, density or completeness."""
        if kind not in MAPS:
            raise RunFolderError(f"{self.path}: no map {kind!r}: the maps are {', '.join(MAPS)}")
        return self._there(map_name(self._known(name), kind))

    def _with_stars(self, name: str) -> str:
        if self.config.completeness_settings is None:
            raise RunFolderError(
                f"{self.path}: no {name}: the run has no artificial stars (completeness: off)"
            )
        return name

    def _known(self, name: str) -> str:
        if name not in self.fields:
            raise RunFolderError(f"{self.path}: no field {name!r}: its fields are {', '.join(self.fields)}")
        return name

    def _there(self, relative: str) -> Place:
        """Return the path of a product, or of a store, that is as the run wrote it."""
        path = self._exists(relative)
        self.check.require(relative)
        return path

    def _exists(self, relative: str) -> Place:
        path = self.path / relative
        if not path.exists():
            raise RunFolderError(
                f"{path}: missing (state of the run: {self.manifest.get('state')}); "
                "finish it with `tilegc run ... --resume`"
            )
        return path


def open_run(path: str | Place, *, check: bool = True) -> Run:
    """Open the directory of a run, finished or not.

    Parameters
    ----------
    path : str or Place
        Directory of the run, as given to `tilegc run -o`.
    check : bool
        Compare every product of a finished run with its digest in the manifest when it is first read, which takes
        about as long as reading it.

    Returns
    -------
    Run
        Tables, maps and numbers of the run, read when they are asked for.

    Raises
    ------
    RunFolderError
        If the directory contains no run, one with another schema, or one whose manifest is damaged. Reading a product
        that has changed since the run wrote it raises one, too.

    Examples
    --------
    >>> tilegc.open_run("run-run").fields
    ('a', 'b')
    """
    folder, found = require(path)
    if found.get("schema") != SCHEMA_VERSION:
        raise RunFolderError(
            f"{folder}: a run of schema {found.get('schema')} (tilegc {found.get('tilegc')}); "
            f"this tilegc reads {SCHEMA_VERSION}"
        )
    # The manifest's settings, not run.yaml: that file is for people, who may have edited it since.
    try:
        config = run_file.resolve(found["config"], source=str(folder / FILES.manifest))
    except (ConfigError, KeyError) as error:
        raise RunFolderError(f"{folder / FILES.manifest}: damaged ({error})") from None
    # While a run is going on, or goes on with its writing, its digests are those of an earlier time.
    trusted = not check or found.get("state") != "done"
    return Run(folder, config, found, Check(folder, found, {} if trusted else found["products"]))
