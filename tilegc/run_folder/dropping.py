"""Removal of the pixel arrays of a finished run, of which only the products are wanted.

The arrays are nine tenths of a run's size. Tables, maps, figures, viewer and sky grid remain, and so do the metadata of
the stores, which hold the fields' WCS.
"""

from __future__ import annotations

import json

from tilegc.errors import RunFolderError
from tilegc.io.atomic import write_bytes
from tilegc.places import Place, is_remote
from tilegc.run_folder import manifest as manifests
from tilegc.run_folder.layout import arrays_of, walk
from tilegc.run_folder.status import require
from tilegc.schema import FILES, SKY_STORE

__all__ = ["keep_products"]


def keep_products(path: str | Place) -> None:
    """Remove the arrays in the stores of a finished run.

    Parameters
    ----------
    path : str or Place
        Directory of the run.

    Raises
    ------
    RunFolderError
        If it is no finished run.
    """
    folder, found = require(path)
    if found.get("state") != "done":
        raise RunFolderError(f"{folder}: the run is not finished, its arrays are needed to continue it")
    names = sorted(str(one).rpartition("/")[2] for one in (folder / FILES.store).iterdir())
    stores = [
        f"{FILES.store}/{name}" for name in names if name.endswith(".zarr") and name != f"{SKY_STORE}.zarr"
    ]
    products = {
        name: digest
        for name, digest in found["products"].items()
        if not any(name == store or name.startswith(f"{store}/") for store in stores)
    }
    # The manifest first: whoever reads the run from here on is told why there are no arrays, and a crash leaves
    # files that nobody misses.
    manifests.write(folder, {**found, manifests.KEPT: "products", "products": products})
    for store in stores:
        arrays = arrays_of(folder / store)
        # Without this they would still be listed, and read as zeros.
        _forget_arrays(folder / store)
        _remove(folder / store, [file for array, files in arrays.items() if array for file in files])
    beside = [FILES.run, FILES.report, *found.get("files", ())]
    products = manifests.digests(folder, found["fields"], beside)
    manifests.write(folder, {**found, manifests.KEPT: "products", "products": products})


def _forget_arrays(store: Place) -> None:
    """Take the arrays out of the consolidated metadata of a store."""
    content = json.loads((store / "zarr.json").read_bytes())
    if isinstance(content.get("consolidated_metadata"), dict):
        content["consolidated_metadata"]["metadata"] = {}
    write_bytes(store / "zarr.json", json.dumps(content, indent=2).encode())


def _remove(store: Place, files: list[str]) -> None:
    """Remove files of a store, and the folders that are then empty."""
    if is_remote(store):
        if files:
            store.fs.rm([f"{store.path}/{file}" for file in files])
        return
    for file in files:
        (store / file).unlink(missing_ok=True)
    for folder, _, _ in walk(store):
        place = type(store)(folder)
        if place != store and not any(place.iterdir()):
            place.rmdir()
