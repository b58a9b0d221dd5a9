"""Detectors that misbehave, on their real protocols, in threads of the suite."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tests.faults.suite.material import Material, scan_frames
from tests.faults.suite.schedule import Plan

from scopeside.acquisition import Acquisition
from scopeside.errors import SourceLostError
from scopeside.scan import Scan
from scopeside.wire import Buffer
from scopeside_adapters.dectris.simulated import DectrisSimulatorParams, Oddities
from scopeside_adapters.dectris.simulator import DectrisSimulator
from scopeside_adapters.faults import Faults as FrameFaults
from scopeside_adapters.merlin.simulator import MerlinSimulator
from scopeside_adapters.zmq.simulator import Faults as BatchFaults
from scopeside_adapters.zmq.simulator import Producer

SCAN = (20, 30)
COUNT = SCAN[0] * SCAN[1]
FPS = 300.0
BATCH = 16
SILENCE_S = 1.5
"""Of the adapter; a peer that goes silent does so for much longer."""
SILENT_S = 6.0
STALL_S = 0.5
LAST = ("hang up", "silent", "reset")
"""What ends a series."""


class Peer(NamedTuple):
    """What a detector sends, and how it is read."""

    detector: dict[str, Any]
    material: Material


@contextmanager
def peer_of(plan: Plan, folder: Path) -> Iterator[Peer]:
    """Run the misbehaving detector of a plan."""
    kinds = {"zmq": _zmq, "merlin": _merlin, "dectris": _dectris}
    with kinds[plan.source](plan, folder) as peer:
        yield peer


def _faults(plan: Plan, count: int) -> dict[int, str]:
    """Return which of `count` messages go wrong, and how: each kind once or twice."""
    rng = random.Random(plan.seed + 1)
    first = max(1, int(plan.fault.at * count))
    kinds = plan.fault.detail.split("+") * rng.randint(1, 2)
    places = sorted(rng.sample(range(first, count - 2), len(kinds)))
    # Who leaves does so at last.
    return dict(zip(places, sorted(kinds, key=LAST.__contains__), strict=True))


# -- the public frame wire -----------------------------------------------------------


@contextmanager
def _zmq(plan: Plan, folder: Path) -> Iterator[Peer]:
    frames = scan_frames()[:COUNT]
    endpoint = f"ipc://{folder}/frames"
    over = threading.Event()
    arguments = (plan, endpoint, frames, over)
    thread = threading.Thread(target=_push, args=arguments, daemon=True)
    thread.start()
    detector = {"kind": "zmq", "bind": endpoint, "silence_s": SILENCE_S}
    try:
        yield Peer(detector, Material(frames, SCAN))
    finally:
        over.set()
        thread.join(20)
        (folder / "frames").unlink(missing_ok=True)  # ours: nobody else owns its name


def _push(plan: Plan, endpoint: str, frames: Any, over: threading.Event) -> None:
    acquisition = Acquisition(
        "pushed", frames.shape[1:], frames.dtype, frames=COUNT, scan=Scan(SCAN)
    )
    wrong = _faults(plan, COUNT // BATCH)
    leaves = [seq for seq, kind in wrong.items() if kind in LAST]
    faults = BatchFaults({k: v for k, v in wrong.items() if k not in leaves})  # type: ignore[misc]
    try:
        with Producer(endpoint, timeout_s=60, linger_s=1.0) as producer:
            producer.start(acquisition)
            paced = _paced(producer, frames, leaves[0] if leaves else None)
            for parts in faults.apply(paced):
                producer.send(parts)
            if leaves and wrong[leaves[0]] == "silent":
                over.wait(SILENT_S)
            elif not leaves:
                producer.end(COUNT)
    except SourceLostError:
        return  # the engine has ended


def _paced(
    producer: Producer, frames: Any, until: int | None
) -> Iterator[tuple[int, list[Buffer]]]:
    for seq, first in enumerate(range(0, COUNT, BATCH)):
        if seq == until:
            return
        yield seq, producer.encoded(frames[first : first + BATCH], first)
        time.sleep(BATCH / FPS)


# -- simulators ------------------------------------------------------------------------


def _frame_faults(plan: Plan) -> dict[int, Any]:
    as_said = {"silent": "stall"}
    wrong = _faults(plan, COUNT).items()
    return {k: as_said.get(v, v) for k, v in wrong if v != "corrupt"}


def _stall_s(plan: Plan) -> float:
    return SILENT_S if "silent" in plan.fault.detail else STALL_S


@contextmanager
def _merlin(plan: Plan, folder: Path) -> Iterator[Peer]:
    simulator = MerlinSimulator(
        MerlinSimulator.Params(
            port=0,
            control_port=0,
            pixels="R64",
            depth=6,
            rows=64,
            frames=COUNT,
            fps=FPS,
            different=64,
            faults=_frame_faults(plan),
            stall_s=_stall_s(plan),
        )
    )
    thread = threading.Thread(target=simulator.run, args=(lambda _: None,), daemon=True)
    thread.start()
    ports = {"port": simulator.port, "control_port": simulator.control_port}
    made = simulator.recording.frames
    assert made is not None  # it plays no file
    known = made[:, ::-1]  # the image upright
    try:
        yield Peer(
            {"kind": "merlin", "arm": True, "silence_s": SILENCE_S, **ports},
            Material(known[np.arange(COUNT) % len(known)], SCAN),
        )
    finally:
        simulator.stop()
        thread.join(20)


@contextmanager
def _dectris(plan: Plan, folder: Path) -> Iterator[Peer]:
    params = DectrisSimulatorParams(
        port=0, api_port=0, shape=(64, 64), frames=COUNT, fps=FPS
    )
    bad = [k for k, kind in _faults(plan, COUNT).items() if kind == "corrupt"]
    faults = FrameFaults(_frame_faults(plan), _stall_s(plan))
    with DectrisSimulator(
        params, faults, Oddities(corrupt=frozenset(bad))
    ) as simulator:
        yield Peer(
            {
                "kind": "dectris",
                "host": "127.0.0.1",
                "api_port": simulator.api_port,
                "port": simulator.port,
                "arm": True,
                "trigger_mode": "ints",
                "nimages": COUNT,
                "ntrigger": 1,
                "silence_s": SILENCE_S,
            },
            Material(simulator.frames(COUNT), SCAN),
        )
