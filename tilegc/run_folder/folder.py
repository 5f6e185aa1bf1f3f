"""A run's folder while it is written: start rules, lock, manifest, ledger, paths."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from tilegc import config as run_file
from tilegc.config import RunConfig
from tilegc.errors import ConfigError, InputError, RunFolderError
from tilegc.io.atomic import write_bytes
from tilegc.places import Place, is_remote, place, reach
from tilegc.redaction import redact, redacted
from tilegc.run_folder import manifest as manifests
from tilegc.run_folder import setting_aside
from tilegc.run_folder.layout import links_in, make, map_name, psf_name, remove, remove_leftovers
from tilegc.run_folder.ledger import Ledger, segments
from tilegc.run_folder.lock import is_held, lock
from tilegc.run_folder.manifest import Manifest
from tilegc.run_folder.resuming import not_as_left, require_same
from tilegc.schema import FILES, SCHEMA_VERSION, SKY_STORE

__all__ = ["RunFolder"]

log = logging.getLogger("tilegc.run_folder")


class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    path : str or Place
        A path or a URL. Need not exist; may itself be a symbolic link to a folder.

    Examples
    --------
    >>> with RunFolder("as1063-run").create(config, inputs=inputs, resume=True) as folder:  # doctest: +SKIP
    ...     folder.plan({"ingest": 36, "filter": 25})
    ...     run_pass(engine, step, fields, params, folder.ledger)
    ...     folder.finish(timing)
    """

    def __init__(self, path: str | Place) -> None:
        self.path = place(path)
        self.ledger = Ledger(self.path / FILES.ledger, "")
        self.manifest: Manifest = {}
        self._finished = False

    def store(self, field: str) -> Place:
        """Return the path of a field's store."""
        return self.path / FILES.store / f"{field}.zarr"

    @property
    def sky_store(self) -> Place:
        """Path of the sky grid's store."""
        return self.store(SKY_STORE)

    def map(self, field: str, name: str) -> Place:
        """Return the path of a field's map: detection, mask, rho or density."""
        return self.path / map_name(field, name)

    def psf(self, field: str, band: str) -> Place:
        """Return the path of a band's PSF."""
        return self.path / psf_name(field, band)

    def figure(self, name: str) -> Place:
        """Return the path of a figure; `claim` it before it is written."""
        return self.path / FILES.figures / name

    def file(self, name: str) -> Place:
        """Return the path of one of `schema.FILES`."""
        return self.path / name

    def check(self, *, resume: bool = False, overwrite: bool = False) -> bool:
        """Check the start rules and touch nothing; return whether a run was begun here.

        Raises
        ------
        ConfigError
            For --resume and --overwrite together.
        RunFolderError
            If the path is a file, or holds something else than a run, or a run and no flag was given.
        """
        if resume and overwrite:
            raise ConfigError("--resume and --overwrite exclude each other; give only one")
        path = self.path
        # Object stores have no directories: one "exists" as soon as there is any object below it.
        if is_remote(path):
            if not reach(path):
                return False
        elif not os.path.lexists(path):
            return False
        if not path.is_dir():
            raise RunFolderError(f"{path}: is not a directory; choose another name with -o")
        found = manifests.read(path)
        if overwrite and manifests.is_damaged(path):
            raise RunFolderError(
                f"{path / FILES.manifest}: damaged; nothing was changed. Copy {FILES.manifest_copy} over it, or choose "
                "another directory with -o"
            )
        if found is None:
            # A process that died between taking the lock and writing the manifest leaves only these; nobody's
            # data are among them.
            parts = (FILES.lock, f".{FILES.manifest}.", f".{FILES.manifest_copy}.")
            if all(entry.name.startswith(parts) for entry in path.iterdir()):
                return False
            raise RunFolderError(
                f"{path}: is not a tilegc run directory; nothing was changed. Choose an empty directory"
            )
        if not (resume or overwrite):
            now = "is using it" if is_held(path) else f"was started in it (state: {found.get('state')})"
            raise RunFolderError(
                f"{path}: a run {now}; give --resume to continue it, or --overwrite to start over"
            )
        return True

    @contextlib.contextmanager
    def create(
        self,
        config: RunConfig,
        *,
        inputs: Mapping[str, str],
        plan: Mapping[str, int] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        more_stars: bool = False,
    ) -> Iterator[RunFolder]:
        """Begin or continue a run, and hold the directory's lock as long as the context lasts.

        If the run ends in an `InputError` before one planned pass was complete, and was begun here and now,
        all that it wrote is removed: bad input leaves nothing behind.

        Parameters
        ----------
        config : RunConfig
            The resolved run file; a copy is written.
        inputs : mapping
            Fingerprint (size, header digest) of every input, by its path.
        plan : mapping, optional
            Number of units of every writing pass, for `status`; `plan()` adds to it.
        resume, overwrite : bool
            What to do with a run that was begun here before.
        more_stars : bool
            On resume, whether the number of artificial stars may be another one.

        Yields
        ------
        RunFolder
            This folder, with its ledger.

        Raises
        ------
        RunFolderError
            By the start rules; if another run works here; on resume, if inputs or settings have changed.
        """
        # Checked twice: here without side effects, so that a refused start creates nothing, and again under
        # the lock, because another process may have begun a run in between.
        self.check(resume=resume, overwrite=overwrite)
        inputs = redacted(dict(inputs))
        self._require_no_links(config)
        made = make(self.path)
        fresh = False
        try:
            with lock(self.path):
                begun = self.check(resume=resume, overwrite=overwrite)
                if begun and resume:
                    self._go_on(config, inputs, more_stars=more_stars)
                else:
                    if begun:
                        self._clear()
                    fresh = True
                    self._begin(config, inputs)
                if plan:
                    self.plan(plan)
                self._finished = False
                try:
                    yield self
                # `BaseException`, since Ctrl-C and SIGTERM must leave a manifest that says "stopped" as well.
                except BaseException as error:
                    if fresh and isinstance(error, InputError) and not self._worth_keeping():
                        remove(self.path, self.manifest["fields"], self.manifest["files"], keep=[FILES.lock])
                    else:
                        self._end("failed" if isinstance(error, Exception) else "stopped", error)
                    raise
                if not self._finished:
                    self._end("stopped")
        finally:
            # Only directories that this call created, innermost first, and only while they are empty.
            for folder in reversed(made):
                with contextlib.suppress(OSError):  # not empty: it stays
                    folder.rmdir()

    def _require_no_links(self, config: RunConfig) -> None:
        """Refuse to write into a folder with symbolic links at names that a run writes: it would follow them."""
        if is_remote(self.path) or not self.path.is_dir():
            return
        found = manifests.read(self.path) or {}
        names = {*(field.name for field in config.fields), *found.get("fields", ())}
        links = links_in(self.path, names, found.get("files", ()))
        if links:
            raise RunFolderError(
                f"{self.path / links[0]}: is a symbolic link, and a run would write through it; remove the link, or "
                "choose another directory with -o"
            )

    def worked_by(self, differences: Iterable[str]) -> None:
        """Record how workers elsewhere differ from the driver: the manifest's `environment` is that of the driver."""
        self.manifest["workers"] = sorted({*self.manifest.get("workers", ()), *differences})
        self._save()

    def plan(self, units: Mapping[str, int]) -> None:
        """Record how many units passes have, for `status`."""
        self.manifest["plan"] = {**self.manifest["plan"], **units}
        self._save()

    def claim(self, paths: Iterable[str | Place]) -> None:
        """List further files as ours (figures), so that --overwrite may remove them."""
        names = {str(path).removeprefix(f"{self.path}/") for path in paths}
        if not self.manifest:
            self.manifest = manifests.read(self.path) or {}
        # Claimed before it is written: a crash between the two leaves a name without a file, which does no
        # harm, and never a file that --overwrite would take for somebody else's.
        self.manifest["files"] = sorted(names.union(self.manifest.get("files", ())))
        self._save()

    def redrawn(self) -> None:
        """Take the digests of page, figures and viewer again, of a finished run for which one of them was written."""
        # Read again and not taken from memory: the report may be drawn long after the run, by another
        # process.
        found = manifests.read(self.path)
        if found is None or found.get("state") != "done":
            return
        folder = self.path / FILES.figures
        figures = [
            f"{FILES.figures}/{path.name}" for kind in ("png", "pdf") for path in folder.glob(f"*.{kind}")
        ]
        claimed = sorted({*found.get("files", ()), *figures})
        beside = (FILES.report, *claimed)
        drawn = manifests.digests(self.path, (), beside, only={*beside, FILES.view})
        self.manifest = {**found, "files": claimed, "products": {**found["products"], **drawn}}
        self._save()

    def pause(self, until: str) -> None:
        """Record that the run stops here because it was asked to; `resume` continues it."""
        self.manifest["until"] = until
        self.manifest["set_aside"] = setting_aside.units(self.ledger)
        self._end("stopped")
        self._finished = True

    def finish(self, timing: Mapping[str, float] | None = None) -> None:
        """Take the products' digests and call the run done."""
        beside = [FILES.run, FILES.report, *self.manifest.get("files", ())]
        # Digests of what is on the disk now, not of what was meant to be written: "done" is said only of
        # bytes that were read back.
        self.manifest["products"] = manifests.digests(self.path, self.manifest["fields"], beside)
        self.manifest["timing"] = dict(timing or {})
        self.manifest["until"] = None
        self.manifest["set_aside"] = setting_aside.units(self.ledger)
        self.manifest.pop(manifests.ADDING, None)
        self._end("done")
        self._finished = True

    def _begin(self, config: RunConfig, inputs: Mapping[str, str]) -> None:
        self.manifest = {
            manifests.MARKER: manifests.version(),
            "schema": SCHEMA_VERSION,
            "recipe": config.recipe,
            "state": "running",
            "error": None,
            "begun": manifests.now(),
            "ended": None,
            "fields": [field.name for field in config.fields],
            "fingerprint": manifests.fingerprint(config, inputs),
            "config_digest": run_file.digest(config),
            "config": run_file.settings(config),
            "inputs": dict(inputs),
            "environment": manifests.environment(),
            "plan": {},
            "until": None,
            "files": [],
            "products": {},
            "timing": {},
        }
        self._save()  # first of all: from here on the folder is known as ours
        # The copy of the run file is the resolved one, so that defaults of a later version do not change what
        # this run means.
        write_bytes(self.path / FILES.run, run_file.dump(config).encode())
        self.ledger = Ledger(self.path / FILES.ledger, self.manifest["fingerprint"])

    def _go_on(self, config: RunConfig, inputs: Mapping[str, str], *, more_stars: bool) -> None:
        found = manifests.read(self.path)
        assert found is not None
        settings = run_file.settings(config)
        if more_stars:
            found["config"] |= {"completeness": settings["completeness"]}
            found[manifests.ADDING] = True
        require_same(self.path, found, settings, inputs)
        # Nobody else works here while the lock is held, so that every temporary file is one of a process that
        # has died.
        left = remove_leftovers(self.path, found["fields"], found.get("files", ()))
        if left:
            log.info("%s: removed %d unfinished files of a run that was killed", self.path, len(left))
        here = manifests.environment()
        if found["environment"] != here:
            odd = manifests.changed_settings(found["environment"], here)
            log.warning("%s: resumed with other libraries or another CPU: %s", self.path, "; ".join(odd))
        found.pop(manifests.KEPT, None)
        self.manifest = {**found, "state": "running", "error": None, "ended": None, "until": None}
        # Of paths that have changed, the new ones are those to read from. The fingerprint of the marks stays.
        self.manifest |= {"config": settings, "inputs": dict(inputs)}
        self.manifest["config_digest"] = run_file.digest(config)
        self._save()
        write_bytes(self.path / FILES.run, run_file.dump(config).encode())
        self.ledger = Ledger(self.path / FILES.ledger, found["fingerprint"])

    def require_stores(self, tell: Callable[[str], None] | None = None) -> None:
        """Compare the files that the ledger has marks of with the disk.

        Files that are not as they were written lose their marks, so that their tiles are computed again.

        Parameters
        ----------
        tell : callable, optional
            Takes a line for the user.

        Raises
        ------
        RunFolderError
            If a whole store is missing.
        """
        # A store that is gone as a whole was moved or deleted by somebody; computing it again in silence
        # would hide that.
        gone = [
            f"{FILES.store}/{name}.zarr" for name in self.manifest["fields"] if not self.store(name).is_dir()
        ]
        if self.ledger.passes and gone:
            raise RunFolderError(not_as_left(self.path, [f"{name} (absent)" for name in gone]))
        begun = time.monotonic()
        wrong = self.ledger.drop_damaged()
        seconds = time.monotonic() - begun
        log.info("%s: compared with the ledger in %.1f s, %d damaged files", self.path, seconds, len(wrong))
        for file, why in wrong.items():
            log.warning("%s %s since it was written; its tiles are repeated", file, why)
        if wrong and tell is not None:
            first = next(iter(wrong.items()))
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            tell(
                f"damaged since the run was interrupted: {first[0]} {first[1]}{more}; these tiles are done again"
            )

    def _clear(self) -> None:
        """Remove what a run left here; a crash on the way leaves a folder that is still known as ours."""
        found = manifests.read(self.path)
        assert found is not None
        fields, files = found.get("fields", []), found.get("files", [])
        manifests.write(self.path, {**found, "state": "failed", "error": "it was being overwritten"})
        # the ledger first: marks must not outlive what they stand for
        for segment in segments(self.path):
            segment.unlink(missing_ok=True)
        remove(self.path, fields, files, keep=[FILES.lock, FILES.manifest, FILES.manifest_copy])

    def _worth_keeping(self) -> bool:
        """Whether a planned pass is complete; without a plan, whether anything is."""
        plan = self.manifest["plan"]
        if not plan:
            return bool(self.ledger.passes)
        return any(0 < total <= len(self.ledger.done(name)) for name, total in plan.items())

    def _end(self, state: str, error: BaseException | None = None) -> None:
        line = None
        if error is not None:
            line = redact(" ".join(f"{type(error).__name__}: {error}".split())).removesuffix(":")
        self.manifest = {**self.manifest, "state": state, "error": line, "ended": manifests.now()}
        try:
            self._save()
        except OSError as full:
            if error is None or is_remote(self.path):
                raise
            # Nothing new fits on the disk, but the old manifest's blocks are there to be written over. It has to
            # say why the run failed, and the run's own error must not be hidden by this one.
            log.warning("%s: its manifest is written in place (%s)", self.path, full.strerror)
            with contextlib.suppress(OSError):
                manifests.write_in_place(self.path, self.manifest)

    def _save(self) -> None:
        manifests.write(self.path, self.manifest)
