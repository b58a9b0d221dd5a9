"""What can be known to go wrong before anything is started."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from scopeside.acquisition import Acquisition
from scopeside.dashboard.place import bokeh_scripts, check_port
from scopeside.detector import Previewing
from scopeside.device.choose import refusal
from scopeside.errors import ConfigError, ScopesideError
from scopeside.pipeline import Pipeline
from scopeside.processor import Order
from scopeside.record.ring import ring_warning
from scopeside.record.trial import folder_problem
from scopeside.security.bulk import check_results
from scopeside.slab import available_memory
from scopeside.supervise.session import port_is_free

BLANKS = {"action": "blank", "on": True}


def output_problems(report: Path | None, results: Path | None) -> list[str]:
    """Return what is wrong with the places that a run shall write to."""
    found = []
    if report is not None:
        if report.is_dir():
            found.append(f"--report {report}: is a folder; name a file")
        elif not report.parent.is_dir():
            found.append(f"--report {report}: there is no folder {report.parent}")
        elif not os.access(report if report.exists() else report.parent, os.W_OK):
            found.append(f"--report {report}: cannot be written there")
    if results is not None:
        try:
            results.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=results):
                pass
        except OSError as error:
            found.append(f"--results {results}: cannot be written: {error.strerror}")
    return found


def page_problems(port: int, pipeline: Pipeline) -> list[str]:
    """Return why the page cannot be at the port that was asked for."""
    for key in ("results", "metrics"):
        if port and getattr(pipeline, key).port == port:
            return [f"--page {port}: is {key}.port of {pipeline.source} as well"]
    try:
        bokeh_scripts()
        check_port(port, "--page")
    except ConfigError as error:
        return [str(error)]
    return []


def preview(pipeline: Pipeline) -> Acquisition | None:
    """Return the acquisition that is to be expected, None if it cannot be known.

    A detector that knows offers a method ``preview``; a file does.
    """
    detector = pipeline.detector_cls(pipeline.detector_params, pipeline.acquisition)
    if not isinstance(detector, Previewing) or detector.check():
        return None
    return detector.preview()


def _chains(pipeline: Pipeline) -> list[str]:
    """Make every processor for the acquisition that is to be expected."""
    try:
        acquisition = preview(pipeline)
    except ScopesideError:
        return []  # told by the detector's own check
    if acquisition is None:
        return []
    found = []
    for i, chain in enumerate(pipeline.chains):
        for k, step in enumerate(chain.steps):
            try:
                step.cls(acquisition, step.params, "cpu")
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
                found.append(f"chain[{i}].processor[{k}] ({step.name}): {error}")
    return found


def problems(pipeline: Pipeline) -> list[str]:
    """Return one sentence for each thing that would go wrong."""
    return [
        *_detector(pipeline),
        *_chains(pipeline),
        *_channels(pipeline),
        *_control(pipeline),
        *_memory(pipeline),
        *_record(pipeline),
        *_ports(pipeline),
    ]


def warnings(pipeline: Pipeline) -> list[str]:
    """Return one sentence for each thing that will not go as it is asked for."""
    found = []
    for i, chain in enumerate(pipeline.chains):
        why = refusal(chain.device, [step.cls for step in chain.steps])
        if why is not None:
            found.append(
                f"chain[{i}].device: {chain.device!r}: {why}; the CPU will do its work"
            )
    return [
        *found,
        *_without_limits(pipeline),
        *_without_calibration(pipeline),
        *_on_event(pipeline),
    ]


def _on_event(pipeline: Pipeline) -> list[str]:
    """Return what will not go well where only what surrounds events is recorded."""
    record = pipeline.record
    if record is None or not pipeline.records_on_event:
        return []
    found = []
    steps = [step for chain in pipeline.chains for step in chain.steps]
    if not any(step.cls.order is Order.ORDERED for step in steps):
        found.append(
            "record.mode: 'on_event', and no processor of this pipeline tells of "
            "events: only what a person marks is recorded (scopeside keep)"
        )
    try:
        acquisition = preview(pipeline)
    except ScopesideError:
        return found  # told by the detector's own check
    small = "" if acquisition is None else ring_warning(record, acquisition)
    return [*found, f"record: {small}"] if small else found


def _without_calibration(pipeline: Pipeline) -> list[str]:
    """Return a sentence for each calibration that has to be measured yet."""
    view = None if pipeline.control is None else pipeline.control.settings.view
    return [
        f"control.view: {path} is not there; view offsets are refused until scopeside "
        f"calibrate shift --actuator {actuator} has written it"
        for path, actuator in ({} if view is None else view.files).items()
        if not path.exists()
    ]


def _without_limits(pipeline: Pipeline) -> list[str]:
    """Return a sentence for each rule whose proposals would always be refused."""
    control = pipeline.control
    if control is None or control.settings.mode == "observe":
        return []
    return [
        f"control.rule[{i}]: proposes {action!r}, for which there are no limits "
        f"([control.limits.{action}]): it will be refused"
        for i, table in enumerate(control.settings.rule)
        for action in [table["propose"]["action"]]
        if action not in control.settings.limits and table["propose"] != BLANKS
    ]


def _detector(pipeline: Pipeline) -> list[str]:
    try:
        detector = pipeline.detector_cls(pipeline.detector_params, pipeline.acquisition)
        return [f"detector: {problem}" for problem in detector.check()]
    except ScopesideError as error:
        return [f"detector: {error}"]


def _channels(pipeline: Pipeline) -> list[str]:
    found = []
    for i, channel in enumerate(pipeline.channels):
        where = f"channel[{i}] ({channel.settings.name})"
        try:
            found += [f"{where}: {problem}" for problem in channel.source().check()]
        except ScopesideError as error:
            found.append(f"{where}: {error}")
    return found


def _control(pipeline: Pipeline) -> list[str]:
    control = pipeline.control
    if control is None:
        return []
    found = []
    folder = control.settings.audit.parent
    if not os.access(folder, os.W_OK):
        found.append(f"control.audit: {folder} is no folder that can be written to")
    try:
        instrument = control.instrument()
        if instrument is not None:
            found += [f"control.adapter: {one}" for one in instrument.check()]
    except ScopesideError as error:
        found.append(f"control.adapter: {error}")
    return found


def _memory(pipeline: Pipeline) -> list[str]:
    free = available_memory()
    wanted = pipeline.slab.mib << 20
    if free is not None and wanted > free * 0.9:
        return [
            f"slab.mib: {pipeline.slab.mib} MiB of shared memory are asked for and "
            f"{free >> 20} MiB are free"
        ]
    record = pipeline.record
    spool = 0 if record is None else record.spool_mib
    if free is not None and wanted + (spool << 20) > free * 0.9:
        return [
            f"record.spool_mib: {spool} MiB of memory are asked for beside "
            f"{pipeline.slab.mib} MiB for the slab, and {free >> 20} MiB are free"
        ]
    return []


def _record(pipeline: Pipeline) -> list[str]:
    record, slab = pipeline.record, pipeline.slab
    if record is None:
        return []
    found = [] if not (problem := folder_problem(record)) else [problem]
    if record.spool_mib * 1024 < 4 * slab.batch_kib:
        found.append(
            f"record.spool_mib: {record.spool_mib} holds fewer than four batches of "
            f"slab.batch_kib = {slab.batch_kib}; set "
            f"{-(-4 * slab.batch_kib // 1024)} or more"
        )
    return found


def _ports(pipeline: Pipeline) -> list[str]:
    asked = {"results": pipeline.results.port, "metrics": pipeline.metrics.port}
    found = [
        f"{key}.port: {port} on 127.0.0.1 is taken by another program"
        for key, port in asked.items()
        if port is not None and not port_is_free(port)
    ]
    if asked["results"] is not None and asked["results"] == asked["metrics"]:
        found.append(f"metrics.port: {asked['metrics']} is asked for results as well")
    try:
        check_results(pipeline.results.bind, pipeline.results.keys)
    except ConfigError as error:
        found.append(str(error))
    return found
