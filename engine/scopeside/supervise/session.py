"""One run from start to end: signals, servers, and the report."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from scopeside import pipeline_tables
from scopeside.edge import POLICY_CAUSES
from scopeside.errors import ConfigError
from scopeside.pipeline import Pipeline
from scopeside.runfolder import RunFolder
from scopeside.security.bulk import check_results
from scopeside.settings import ServerSettings
from scopeside.supervise.books import Book
from scopeside.supervise.channels import lost_channels
from scopeside.supervise.engine import RESULTS_PORT, Engine
from scopeside.supervise.metrics import EngineMetrics, serve
from scopeside.supervise.recording import record_report
from scopeside.supervise.status import Watch

METRICS_PORT = 8767


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked for beside its pipeline."""

    acquisitions: int | None = None
    seconds: float | None = None
    report: Path | None = None
    results: Path | None = None
    quarantine: Path = Path("quarantine")
    page_port: int | None = None
    """Of 127.0.0.1, where the page is; None: no page."""
    page_port_is_asked: bool = True
    """Somebody wants this one; else a free one will do if it is taken."""


@dataclass(slots=True)
class Outcome:
    """How a run ended."""

    code: int
    reason: str
    report: dict[str, Any] = field(default_factory=dict)


Observer = Callable[[Engine, Watch], None]


def run(pipeline: Pipeline, options: Options, observe: Observer) -> Outcome:
    """Run a pipeline until it has ended; `observe` is called several times a second.

    Raises
    ------
    ScopesideError
        If it cannot be started.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_signals())
        check_results(pipeline.results.bind, pipeline.results.keys)
        folder = stack.enter_context(RunFolder())
        pipeline_tables.write(folder.path, pipeline)
        engine = Engine(
            pipeline,
            folder,
            limit=options.acquisitions,
            results_folder=options.results,
            quarantine_folder=options.quarantine,
            results_port=wanted_port(pipeline.results, RESULTS_PORT, "results"),
            page_port=options.page_port,
        )
        stack.callback(engine.close)
        watch = Watch(engine)
        where, stop_serving = serve(
            wanted_port(pipeline.metrics, METRICS_PORT, "metrics"),
            EngineMetrics(watch.status, watch.latencies),
        )
        stack.callback(stop_serving)
        engine.servers["metrics"] = where
        engine.on_status_asked = watch.status
        if not stop.asked:
            engine.start()
            _turn(engine, watch, options, observe, stop)
        outcome = _outcome(engine, watch, stop)
    if options.report is not None:
        try:
            _write_report(options.report, outcome.report)
        except OSError as error:
            why = f"the report could not be written: {error}"
            return Outcome(outcome.code or 1, why, outcome.report)
    return outcome


def _turn(
    engine: Engine, watch: Watch, options: Options, observe: Observer, stop: _Stop
) -> None:
    while not engine.ended:
        engine.turn()
        seconds = options.seconds
        if stop.asked:
            engine.request_stop(stop.asked)
        elif seconds is not None and watch.running_for() > seconds:
            engine.request_stop(f"{seconds:g} s are over")
        if stop.times > 1:
            engine.note("engine", "asked twice: ending at once")
            break
        observe(engine, watch)
    observe(engine, watch)


class _Stop:
    """What signals have asked for."""

    def __init__(self) -> None:
        self.asked = ""
        self.code = 0
        self.times = 0

    def hear(self, number: int, _frame: FrameType | None) -> None:
        self.times += 1
        self.asked = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        self.code = 128 + number


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Let Ctrl-C and SIGTERM ask for an end instead of breaking in."""
    stop = _Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop.hear) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def wanted_port(settings: ServerSettings, usual: int, key: str) -> int:
    """Return the port to try: the one of the pipeline file, else the usual one.

    Raises
    ------
    ConfigError
        If the pipeline file names one that is taken.
    """
    if settings.port is not None and not port_is_free(settings.port):
        raise ConfigError(
            f"{key}.port: {settings.port} on 127.0.0.1 is taken by another "
            "program; choose another, or leave it out to get a free one"
        )
    return settings.port or usual


def port_is_free(port: int) -> bool:
    """Whether a server could listen at `port` of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _outcome(engine: Engine, watch: Watch, stop: _Stop) -> Outcome:
    status = watch.status()
    lost = lost_channels(engine.pipeline.channels, status["channels"])
    code, reason = _verdict(engine, stop, lost)
    last = engine.books.last
    report = {
        "pipeline": status["pipeline"],
        "seconds": status["seconds"],
        "ledger": status["edges"],
        "closed": engine.books.all_closed and not status["open"],
        "acquisitions": status["acquisitions"],
        "rates": _mean_rates(status, watch.running_for()),
        "latency_ms": status["latency_ms"],
        "rejected": status["rejected"],
        "restarts": status["restarts"],
        "stages": status["stages"],
        "results": last.results if last is not None else {},
        "channels": status["channels"],
        "control": status["control"],
        "record": record_report(engine.recording),
        "params": status["params"],
        "changes": list(engine.parameters.log),
        "degraded": [
            process["name"]
            for process in status["processes"]
            if process["state"] == "degraded"
        ],
        "notes": [f"{who}: {text}" for _, who, text in engine.notes],
        "exit": {"code": code, "reason": reason},
    }
    return Outcome(code, reason, report)


def _verdict(engine: Engine, stop: _Stop, lost: list[str]) -> tuple[int, str]:
    """Return the exit code and the reason in words.

    `lost`: required channels; the loss of any other does not make a run fail.
    """
    degraded = [
        member.name
        for member in engine.members.values()
        if member.state.value == "degraded"
        and member.spec.role != "channels"
        and not member.beside
    ]
    unsound, last = engine.books.first_unsound, engine.books.last
    if not engine.ended:
        return (stop.code or 1), "ended at once; what was in flight is lost"
    if engine.failure:
        return 1, engine.failure
    if degraded:
        return 1, f"degraded: {', '.join(degraded)}"
    if engine.adapter_error:
        return 1, engine.adapter_error
    if unsound is not None:
        state = "" if unsound.state == "complete" else f" is {unsound.state}"
        return 1, f"acquisition {unsound.id}{state}: {_why(unsound)}"
    if stop.asked and (last is None or last.state == "stopped"):
        return stop.code, f"stopped by {stop.asked}; everything received is processed"
    if lost:
        return 1, "; ".join(lost)
    if engine.stopped_by:
        return 0, f"stopped: {engine.stopped_by}; everything received is processed"
    if last is None:
        return 1, "no acquisition came"
    return 0, "complete"


def _why(book: Book) -> str:
    if book.reason:
        return str(book.reason)
    lost = {**book.ingest["missing"]}
    for account in book.edges.values():
        lost.update(account.failed)
        lost.update(
            {c: n for c, n in account.dropped.items() if c not in POLICY_CAUSES}
        )
    listed = ", ".join(f"{n} frames {cause}" for cause, n in lost.items())
    return "; ".join([*book.problems, listed] if listed else book.problems)


def _mean_rates(status: dict[str, Any], seconds: float) -> dict[str, Any]:
    rates = status["rates"]
    return {
        "frames": rates["frames"],
        "bytes": rates["bytes"],
        "mean_frames_per_s": round(rates["frames"] / seconds, 1) if seconds else 0.0,
        "mean_gb_per_s": round(rates["bytes"] / seconds / 1e9, 4) if seconds else 0.0,
    }


def _write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the report, whole or not at all; to a device or pipe as it is."""
    text = json.dumps(report, indent=2) + "\n"
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
