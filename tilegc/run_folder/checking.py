"""Products are compared with the manifest's digests when they are read, each of them once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tilegc.errors import RunFolderError
from tilegc.places import Place
from tilegc.run_folder import manifest as manifests
from tilegc.schema import FILES

__all__ = ["Check"]


class Check:
    """Compares products of a finished run with their digests; what was compared before is taken as it is.

    Parameters
    ----------
    folder : Place
        Directory of the run.
    manifest : mapping
        Its manifest.
    products : mapping
        SHA-256 of every product, by its path relative to the folder; empty: nothing is compared.
    """

    def __init__(self, folder: Place, manifest: Mapping[str, Any], products: Mapping[str, str]) -> None:
        self._folder = folder
        self._fields = tuple(manifest["fields"])
        self._left = dict(products)
        self._removed = manifest.get(manifests.KEPT) == "products"
        self._lock = threading.Lock()

    def require(self, *names: str) -> None:
        """Compare the named products, or all arrays of the named stores.

        Raises
        ------
        RunFolderError
            If one is absent or not as the run wrote it, or one of the arrays that were removed at the end of the run.
        """
        stores = tuple(f"{FILES.store}/{field}.zarr" for field in self._fields)
        if self._removed and any(name.startswith(stores) for name in names):
            raise RunFolderError(
                f"{self._folder}: the arrays of its fields were removed at the end of the run (--keep products); run "
                "it again with --resume to have them"
            )
        # Readers in several threads may ask for the same product: one computes its digest, the others wait
        # for the verdict instead of reading the file again.
        with self._lock:
            asked = {
                product: digest
                for product, digest in self._left.items()
                # A store is listed array by array, so that reading its mask does not cost the digest of its
                # images.
                if any(product == name or product.startswith(f"{name}/") for name in names)
            }
            if not asked:
                return
            found = manifests.digests(self._folder, self._fields, asked, only=asked)
            wrong = [product for product, digest in asked.items() if found.get(product) != digest]
            if wrong:
                how = "has changed since the run wrote it" if wrong[0] in found else "is missing"
                raise RunFolderError(
                    f"{self._folder / wrong[0]}: {how}; `tilegc verify {self._folder}` lists all such files, --resume "
                    "writes tables and maps again, and --no-check reads them as they are"
                )
            # Only after all of them agreed: a second attempt on a damaged file must be refused again.
            for product in asked:
                del self._left[product]

    def __getstate__(self) -> dict[str, Any]:
        """Return what other processes need: locks cannot be sent."""
        names = ("_folder", "_fields", "_left", "_removed")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
