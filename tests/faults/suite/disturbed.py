"""Starts the engine of a plan, and does to it what the plan says."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.faults.suite.pipelines import DISK_MIB, ROOM_MIB, disk
from tests.faults.suite.schedule import Plan
from tests.system.engine_runs import Running, command, environment, pid_of

SITE = Path(__file__).with_name("site")
SMALL_FILE = 8 << 20
LARGEST_FILE = 1 << 20
"""Of the recorder or the collector, where a file may not become larger."""
FILLER = "filler"
PATIENCE_S = 150.0
"""A run that takes longer has hung."""


class HungError(Exception):
    """The run did not end; says what it said last."""


class MissedError(Exception):
    """The fault could not be brought about: whom it was for was gone."""


@contextmanager
def disturbed(plan: Plan, pipeline: Path, folder: Path) -> Iterator[Running]:
    """Run the engine of a plan in the background; it is killed if it is left."""
    arguments = ["run", pipeline, "--acquisitions", 1, "--headless"]
    arguments += ["--report", folder / "report.json", "--results", folder / "results"]
    started = command(*arguments)
    if disk(folder).exists():
        started = _on_a_small_disk(plan, folder, started)
    path = folder / "said"
    (folder / "fault").write_bytes(bytes(24))
    with path.open("w") as said:
        process = subprocess.Popen(
            started,
            cwd=folder,
            env=_environment(plan, folder),
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if plan.fault.detail == "no file of 8 MiB":
        # Long before it has loaded what it takes to make one.
        both = (SMALL_FILE, SMALL_FILE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, both)
    try:
        yield Running(folder, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _environment(plan: Plan, folder: Path) -> dict[str, str]:
    found = {**environment(folder), "OMP_NUM_THREADS": "1"}
    if plan.fault.what in ("clock jumps", "disk slow"):
        found["SCOPESIDE_FAULT"] = str(folder / "fault")
        found["PYTHONPATH"] = f"{SITE}{os.pathsep}{found['PYTHONPATH']}"
    return found


# -- a small disk ----------------------------------------------------------------------


@cache
def why_no_small_disk() -> str:
    """Return why this user cannot mount a tmpfs of his own; empty if he can."""
    script = "mount -t tmpfs -o size=1m tmpfs /mnt && exec true"
    try:
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


def _on_a_small_disk(plan: Plan, folder: Path, started: list[str]) -> list[str]:
    """Return a command that runs `started` beside a tmpfs and saves what is on it."""
    small = disk(folder)
    for_a_while = plan.fault.what == "disk full for a while"
    room = DISK_MIB if plan.fault.detail == "tmpfs" else ROOM_MIB
    filler = (ROOM_MIB - DISK_MIB) << 20 if for_a_while else 0
    filled = f'head -c {filler} /dev/zero > "{small}/{FILLER}"'
    script = (
        f'mount -t tmpfs -o size={room}m tmpfs "{small}" && {filled} && '
        f'{{ "$@"; code=$?; cp -a "{small}/." "{folder}/saved"; exit $code; }}'
    )
    return ["unshare", "-rm", "sh", "-c", script, "sh", *started]


def saved_runs(folder: Path) -> Path:
    """Return where the recorded runs are after the end."""
    saved = folder / "saved" / "runs"
    return saved if (folder / "disk").exists() else folder / "runs"


# -- what is done to it ----------------------------------------------------------------


def disturb(engine: Running, plan: Plan, frames: int) -> None:
    """Do what the plan says, when it says; return when it is over or the run is."""
    what = plan.fault.what
    if what == "none" or what.endswith("peer"):
        return
    if what == "no memory" and plan.fault.detail != "journal":
        return  # from the start
    if what == "disk slow":
        megabytes = int(plan.fault.detail.partition(" ")[0])
        _say(engine.folder, 1, megabytes * 1_000_000)
        return
    _until(engine, plan.fault.at * frames)
    time.sleep(plan.fault.wait_s)
    verb = what.partition(" ")[0]
    if verb == "kill":
        _kill(engine, plan)
    elif verb == "stop":
        _stop(engine, plan)
    elif verb == "disk":
        _fill(engine, plan)
    elif plan.fault.detail == "journal":
        _limit(engine, "collector", LARGEST_FILE)
    else:
        _jump(engine, plan)


def _until(engine: Running, frames: float) -> None:
    """Wait until so many frames came."""
    until = time.monotonic() + PATIENCE_S
    while engine.process.poll() is None:
        status = engine.status()
        if status and status["rates"]["frames"] >= max(1, frames):
            return
        if time.monotonic() > until:
            raise HungError("no frames came")
        time.sleep(0.01)
    raise MissedError("the run ended before the fault was due")


def _pid(engine: Running, name: str) -> int:
    pid = supervisor(engine) if name == "supervisor" else None
    pid = pid or pid_of(engine.status(), name)
    if pid is None:
        raise MissedError(f"{name} is not there")
    return int(pid)


def _handles(engine: Running, plan: Plan) -> list[int]:
    """Return a descriptor of each process that is meant."""
    return [os.pidfd_open(_pid(engine, name)) for name in plan.fault.whom]


def supervisor(engine: Running) -> int | None:
    """Return the process id of the engine itself; the name of its folder says it."""
    for one in (engine.folder / "run" / "scopeside").glob("*-*"):
        return int(one.name.partition("-")[0])
    return None


def _send(handles: list[int], number: signal.Signals) -> None:
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _kill(engine: Running, plan: Plan) -> None:
    _signal_once(engine, plan, signal.SIGKILL)
    if not plan.fault.what.endswith("twice"):
        return
    (name,) = plan.fault.whom
    until = time.monotonic() + 20
    while engine.process.poll() is None and time.monotonic() < until:
        for process in engine.status().get("processes", []):
            again = process["name"] == name and process["incarnation"] > 1
            if again and process["alive"]:
                time.sleep(plan.fault.wait_s * 20)
                _signal_once(engine, plan, signal.SIGKILL)
                return
        time.sleep(0.02)
    raise MissedError(f"the next {name} never came")


def _signal_once(engine: Running, plan: Plan, number: signal.Signals) -> None:
    handles = _handles(engine, plan)
    _send(handles, number)
    for handle in handles:
        os.close(handle)


def _stop(engine: Running, plan: Plan) -> None:
    handles = _handles(engine, plan)
    _send(handles, signal.SIGSTOP)
    time.sleep(plan.fault.seconds)
    _send(handles, signal.SIGCONT)
    for handle in handles:
        os.close(handle)


def _fill(engine: Running, plan: Plan) -> None:
    """Make the disk full, where it is not by itself; with an end, make room again."""
    mounted = disk(engine.folder).exists()
    if plan.fault.detail == "largest file" or not mounted:
        _limit(engine, "recorder", LARGEST_FILE)
    if plan.fault.what != "disk full for a while":
        return
    time.sleep(plan.fault.seconds)
    if mounted:
        pid = supervisor(engine)
        filler = Path(f"/proc/{pid}/root{disk(engine.folder)}") / FILLER
        with contextlib.suppress(OSError):
            filler.unlink()
    else:
        _limit(engine, "recorder", resource.RLIM_INFINITY)


def _limit(engine: Running, name: str, largest: int) -> None:
    """Let no file of a process become larger."""
    both = (largest, resource.RLIM_INFINITY)
    resource.prlimit(_pid(engine, name), resource.RLIMIT_FSIZE, both)


def _jump(engine: Running, plan: Plan) -> None:
    (name,) = plan.fault.whom
    hours = int(plan.fault.detail.partition(" ")[0])
    _say(engine.folder, 2, 0 if name == "all" else _pid(engine, name))
    _say(engine.folder, 0, hours * 3600 * 10**9)


def _say(folder: Path, place: int, value: int) -> None:
    with (folder / "fault").open("r+b") as file:
        file.seek(8 * place)
        file.write(struct.pack("<q", value))
