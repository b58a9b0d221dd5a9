"""Steering by hand: what can be set, what holds, and changing it."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scopeside import adjust, pipeline_tables
from scopeside.dashboard.fields import fields_of
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.saved import name_of, text_of
from scopeside.dashboard.steering_next import Next
from scopeside.dashboard.versions import Versions
from scopeside.errors import EngineNotFoundError, ScopesideError
from scopeside.messages import validate
from scopeside.pipeline_tables import Tables
from scopeside.plugins import look_in, processor_class

log = logging.getLogger(__name__)

HOLDS_S = 0.5
"""An answer waits so long for the first frame with new parameters; then the topic says
when there was one."""


class Steering:
    """Tells of all processors, and changes them.

    Topics: ``steering_forms`` (what there is to set; once for each engine) and
    ``steering`` (what holds). Command: ``set_params``. Question: ``pipeline_file``.
    `Next` has those for what waits for the end of an acquisition.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._versions = Versions()
        self._told_of = ""
        self._tables: dict[str, Tables] = {}
        page.on_status(self._hear_status)
        page.on_engine(self._attached)
        page.commands["set_params"] = self._set
        Next(page, self._check)
        page.questions["pipeline_file"] = self._pipeline_file

    # -- telling ------------------------------------------------------------------

    def _attached(self, engine: Path | None) -> None:
        self._tell(running=engine is not None)

    def _hear_status(self, status: dict[str, Any]) -> None:
        folder = str(status.get("folder", ""))
        if folder and folder != self._told_of:
            self._told_of = folder
            self._versions.clear()
            # Plug-ins are loaded, which may take seconds; the status goes on meanwhile.
            threading.Thread(
                target=self._tell_forms, args=(folder,), name="forms", daemon=True
            ).start()
        self._versions.hear(status.get("params", {}), time.time() * 1e3)
        self._drop_removed(status.get("params", {}))
        self._tell(running=True)

    def _drop_removed(self, said: Mapping[str, Any]) -> None:
        """Show no more what detectors have seen that were taken away since."""
        for name, one in said.items():
            before = [found["params"] for found in self._versions.of(name)]
            gone = set().union(*map(_detectors, before)) - _detectors(one["params"])
            for shown in self._page.shelf.all() if gone else ():
                chain, _, result = shown.key.rpartition(".")
                if chain == name and result.removesuffix("_inpainted") in gone:
                    self._page.drop(shown.key)

    def _tell_forms(self, folder: str) -> None:
        try:
            said = forms_of(self._tables_of(folder))
        except ScopesideError as error:
            said = {"pipeline": None, "processors": [], "problem": str(error)}
        except Exception as error:
            # A plug-in's code ran: whatever it raised, the person waits for an answer.
            log.exception("the forms of parameters could not be made")
            problem = f"{type(error).__name__}: {error}"
            said = {"pipeline": None, "processors": [], "problem": problem}
        self._page.tell("steering_forms", {"engine": folder, **said})

    def _tell(self, *, running: bool) -> None:
        status = self._page.status
        newest = newest_of(status)
        acquisition = newest.get("acquisition", {})
        calibration = acquisition.get("calibration", {})
        self._page.tell(
            "steering",
            {
                "running": running,
                "acquisition": acquisition.get("id"),
                "open": newest.get("state") == "running",
                "frame_shape": acquisition.get("shape"),
                "centre_px": calibration.get("centre_px"),
                "descan_px": calibration.get("descan_px"),
                "processors": {
                    name: {**one, "versions": self._versions.of(name)}
                    for name, one in status.get("params", {}).items()
                },
            },
        )

    def _tables_of(self, folder: str) -> Tables:
        """Return the tables of an engine; they stay when it has ended, to be saved."""
        tables = self._tables.get(folder)
        if tables is None:  # another thread may ask for another engine meanwhile
            tables = pipeline_tables.read(Path(folder))
            self._tables = {folder: tables}
        return tables

    # -- what is asked for --------------------------------------------------------

    def _set(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change parameters: ``{"processor": …, "values": {…}, "engine": …}``.

        ``engine`` is the run folder of the one that the person has seen.
        """
        processor, values = body["processor"], body["values"]
        if not (isinstance(processor, str) and isinstance(values, dict)):
            raise TypeError("expected a processor and values")
        engine = self._page.engine
        if engine is None:
            raise EngineNotFoundError("no engine runs: nothing was changed")
        if Path(str(body.get("engine") or engine)).name != engine.name:
            raise EngineNotFoundError(
                "another engine runs now: nothing was changed; look at what it says"
            )
        taken = adjust.set_params(processor, values, run=engine, timeout=HOLDS_S)
        return asdict(taken)

    def _check(self, processor: str, values: Mapping[str, Any]) -> None:
        """Refuse parameters that a processor can never have.

        Raises
        ------
        ConfigError
            It names the key.
        """
        running = self._tables_of(str(self._page.status["folder"]))
        for chain in running.tables["chain"]:
            for step in chain["processor"]:
                if name_of(chain["name"], step) == processor:
                    model = processor_class(step["kind"]).Params
                    validate(model, values, where=processor, folder=running.folder)

    def _pipeline_file(self, _asked: Mapping[str, str]) -> Blob:
        """Return the running pipeline as a file."""
        status = self._page.status
        if not status:
            raise EngineNotFoundError("no engine was seen yet: there is no pipeline")
        running = self._tables_of(status["folder"])
        newest = newest_of(status)
        acquisition = newest.get("acquisition", {}).get("id", "")
        runs = newest.get("ingest", {}).get("received_runs") or [[-1]]
        text = text_of(running, status["params"], acquisition, runs[-1][-1])
        name = "".join(c if c.isalnum() else "_" for c in Path(running.source).stem)
        return Blob(
            text.encode(), "application/toml", f"{name or 'pipeline'}_live.toml"
        )


def forms_of(running: Tables) -> dict[str, Any]:
    """Return what can be set in a pipeline: its processors with their fields."""
    look_in(running.folder)
    processors = [
        {"name": name_of(chain["name"], step), **form_of(step["kind"])}
        for chain in running.tables["chain"]
        for step in chain["processor"]
    ]
    return {"pipeline": running.source, "processors": processors, "problem": ""}


def form_of(kind: str) -> dict[str, Any]:
    """Return the fields of a processor, and whether it can change while it runs."""
    said: dict[str, Any] = {"kind": kind, "about": "", "fields": [], "live": False}
    try:
        cls = processor_class(kind)
        said["fields"] = fields_of(cls.Params)
    except Exception as error:  # noqa: BLE001 - a plug-in of somebody's; it is told
        return {**said, "why_not": f"{type(error).__name__}: {error}"}
    about = inspect.getdoc(cls) or ""
    said["about"] = about.partition("\n\n")[0].replace("\n", " ")
    fixed = getattr(cls, "fixed", ())
    for one in said["fields"]:
        one["fixed"] = one["key"] in fixed
    if not hasattr(cls, "change"):
        why = (
            f"a processor of kind {kind!r} cannot change while the engine runs: save "
            "the pipeline file, change it there, start again"
        )
        return {**said, "why_not": why}
    return {**said, "live": True, "why_not": ""}


def _detectors(params: Mapping[str, Any]) -> set[str]:
    """Return the names of virtual detectors."""
    found = params.get("detectors")
    return set(found) if isinstance(found, Mapping) else set()


def newest_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is known of the acquisition that began last; empty: there is none."""
    for acquisitions in (status.get("open"), status.get("acquisitions")):
        if acquisitions:
            found: Mapping[str, Any] = list(acquisitions.values())[-1]
            return found
    return {}
