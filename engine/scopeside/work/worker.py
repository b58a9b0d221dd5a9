"""Works through batches and hands parts of results to the collector.

A batch stays the worker's responsibility until the collector has confirmed the part
that it went into; until then its slot is not given back, so it can be sent again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from scopeside.acquisition import Acquisition
from scopeside.board import Board
from scopeside.changes import Change, Held, History, held_from_dict, held_to_dict
from scopeside.errors import ChainRefusedError
from scopeside.link import Link
from scopeside.packed import warm_sparse
from scopeside.pipeline import Chain
from scopeside.processor import Device, Prepared
from scopeside.slab import Slab, batch_at
from scopeside.wire import Buffer, Kind, Message, encode
from scopeside.work.chain import ChainRun, RefusedRun, Said, cause_of, run_of
from scopeside.work.gpu import PLACES, Gpu, GpuRun

log = logging.getLogger(__name__)

IDLE_MS = 1000
"""How long an idle worker waits before it looks around."""
MAX_GROUP = 16
"""Batches in one part at most: half the credit, so that work never waits for it."""
MAX_AGE_NS = 50_000_000
"""A part is sent after this time at the latest."""
COMMIT_SHARE = 4
"""A part is held back until work has taken so many times what sending it takes."""
HEAVY_BYTES = 1 << 18
"""An ordered chain with more state than this tells its results before its state.

A movie's background and history are tens of MB. Sent with every frame they would cost
more than the frame; so they go less often, and results do not wait for them.
"""
HEAVY_AGE_NS = 1_000_000_000
HEAVY_SHARE = 20
"""MAX_AGE_NS and COMMIT_SHARE of such a chain."""
HEAVY_SLAB = 4
"""Its part is sent when the batches of it hold this fraction of the slab."""


class _Recalled(NamedTuple):
    """What the processors of an acquisition begin with."""

    states: dict[str, bytes]
    held: Held


@dataclass(slots=True)
class _Group:
    """Batches since the last commit, of one acquisition, with the same parameters."""

    acquisition: str
    change: int
    began_ns: int
    headers: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    """Sequence numbers of the batches whose results have been sent ahead."""


class Worker:
    """One worker of a chain; `work` is called for one batch at a time.

    `timed`: parts say when each of their frames was taken, for channels to be joined.
    `stamped`: so does what is said of a batch, for those who decide on it; with those
    of the frames that failed.
    `gpu`: the card that the chain's GPU twins run on.
    """

    def __init__(
        self,
        chain: Chain,
        device: Device,
        slab: Slab,
        board: Board,
        identity: str,
        *,
        timed: bool = False,
        stamped: bool = False,
        gpu: Gpu | None = None,
    ) -> None:
        self.inbox: deque[dict[str, Any]] = deque()
        self.collector: Link | None = None
        self.epoch = 0
        self.notes: list[str] = []
        self._chain = chain
        # An edge that keeps frames fresh gives one batch at a time, and the next when
        # this one is done: to wait for more would be to wait for nothing.
        self._group_size = MAX_GROUP if chain.edge.policy == "lossless" else 1
        self._device: Device = device
        self._gpu = gpu
        self._slab = slab
        self._board = board
        self._identity = identity
        self._timed = timed
        self._stamped = stamped
        self._acquisitions: dict[str, Acquisition] = {}
        self._runs: dict[str, ChainRun | RefusedRun] = {}
        self._recalled: dict[str, _Recalled] = {}
        self._history = History()
        self._change_of: dict[str, int] = {}
        self._group: _Group | None = None
        self._parts: dict[int, list[Buffer]] = {}
        self._said_causes: set[str] = set()
        self._number = 0
        self._commit_ns = 0
        self._committed_ns = 0
        self._frames = 0
        self._busy_ns = 0

    # -- what the others say ----------------------------------------------------

    def hear_tee(self, message: Message) -> None:
        """Take a message of the adapter."""
        header = message.header
        match message.kind:
            case Kind.START:
                acquisition = Acquisition.from_dict(header["acquisition"])
                self._acquisitions[acquisition.id] = acquisition
                if self._chain.ordered:
                    self._ask_for_state(acquisition.id)
                else:
                    held = self._history.at(header["change"])
                    self._recalled[acquisition.id] = _Recalled({}, held)
                    self._change_of[acquisition.id] = header["change"]
                    self._prepare(acquisition.id)
            case Kind.PARAM:
                change = Change.from_dict(header["change"])
                self._history.add(change, header["oldest"])
            case Kind.BATCH:
                self.inbox.append(header)
            case Kind.END:
                for known in self._known:
                    known.pop(header["acq"], None)
            case other:
                log.warning("a worker does not know what to do on %s", other)

    def hear_collector(self, message: Message) -> None:
        """Take a message of the collector."""
        match message.kind:
            case Kind.PART_OK:
                self._parts.pop(message.header["number"], None)
            case Kind.STATE:
                names = message.header["steps"]
                states = [bytes(part) for part in message.payload]
                name = message.header["acq"]
                if name in self._acquisitions and name not in self._recalled:
                    held = held_from_dict(message.header["held"])
                    found = dict(zip(names, states, strict=True))
                    self._recalled[name] = _Recalled(found, held)
                    self._prepare(name)
            case other:
                log.warning("a worker does not know what to do on %s", other)

    def begin_epoch(self, epoch: int) -> None:
        """Forget the adapter process before this one; it left nothing to do."""
        self.epoch = epoch
        self.inbox.clear()
        self._history.clear()
        for known in self._known:
            known.clear()

    @property
    def _known(self) -> tuple[dict[str, Any], ...]:
        """What is kept by acquisition."""
        return self._acquisitions, self._runs, self._recalled, self._change_of

    def resend(self) -> None:
        """Send again what has not been confirmed; the collector was restarted."""
        assert self.collector is not None
        for name in self._acquisitions:
            if name not in self._recalled:
                self._ask_for_state(name)
        for part in self._parts.values():
            self.collector.forward(part)

    # -- work -------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there is a batch that can be worked on now."""
        return bool(self.inbox) and self.inbox[0]["acq"] in self._runs

    @property
    def drained(self) -> bool:
        """Whether nothing is left to do or to be confirmed."""
        return not self.inbox and self._group is None and not self._parts

    def discard_unknown(self) -> None:
        """Leave out batches of acquisitions whose beginning was never heard."""
        self.inbox = deque(h for h in self.inbox if h["acq"] in self._acquisitions)

    def work(self) -> None:
        """Process the oldest batch, and commit if it is time."""
        header = self.inbox.popleft()
        name, change = header["acq"], header["change"]
        group = self._group
        if group is not None and (group.acquisition, group.change) != (name, change):
            self.commit()
        if self._change_of.get(name) != change:
            self._adopt(name, change)
        began = time.monotonic_ns()
        if self._group is None:
            self._group = _Group(name, change, began)
        self._board.update(
            current=[name, header["epoch"], header["seq"]], since_ns=began
        )
        self._copy_ahead(header)
        try:
            self._runs[name].process(batch_at(self._slab, header))
            self._group.headers.append(header)
            self._tell_ahead(header)
        except Exception as error:  # noqa: BLE001 - counted in the ledger, and told
            self._say_once(header, error)
            self._isolate(header, error)
        now = time.monotonic_ns()
        self._busy_ns += now - began
        self._frames += header["n"]
        self._board.update(
            current=None,
            since_ns=0,
            frames=self._frames,
            busy_ns=self._busy_ns,
            inbox=len(self.inbox),
            device=self._device if self._gpu is None else self._gpu.doing,
        )
        self.commit_if_due()

    def commit(self) -> None:
        """Send the group's part to the collector."""
        group, self._group = self._group, None
        if group is None:
            return
        began = time.monotonic_ns()
        states, said = self._runs[group.acquisition].commit()
        header = {**self._part_header(group, said), "states": len(states)}
        self._send(Kind.PART, header, [*states, *_arrays(said)])
        self._committed_ns = time.monotonic_ns()
        self._commit_ns = self._committed_ns - began

    def commit_if_due(self) -> int:
        """Commit if it is time; else return for how long it is not, milliseconds.

        An idle worker commits at once, unless sending parts would then take more
        than a fifth of the time.
        """
        group = self._group
        if group is None:
            return IDLE_MS
        now = time.monotonic_ns()
        heavy = bool(group.told)
        share = HEAVY_SHARE if heavy else COMMIT_SHARE
        rested = now - self._committed_ns - share * self._commit_ns
        aged = now - group.began_ns - (HEAVY_AGE_NS if heavy else MAX_AGE_NS)
        n = len(group.headers) + len(group.failed)
        full = n >= self._group_size or (heavy and self._holds_much(group))
        if full or aged >= 0 or (not self.inbox and rested >= 0):
            self.commit()
            return IDLE_MS
        return max(1, -max(rested, aged) // 1_000_000)

    def _send(self, kind: Kind, header: dict[str, Any], payload: list[bytes]) -> None:
        """Send the collector what it has to confirm, and keep it until then."""
        self._number += 1
        part = encode(kind, {**header, "number": self._number}, payload)
        self._parts[self._number] = part
        assert self.collector is not None
        self.collector.forward(part)

    def _tell_ahead(self, header: dict[str, Any]) -> None:
        """Send what was said of a batch, where the state behind it is heavy."""
        group = self._group
        assert group is not None
        run = self._runs[group.acquisition]
        if not isinstance(run, ChainRun) or run.state_bytes < HEAVY_BYTES:
            return
        said = run.said()
        group.told.add(header["seq"])
        about = {
            **self._common(group, said),
            "runs": header["runs"],
            "ages": [[header["n"], header["received_ns"]]],
            "t_ns": header["t_ns"],
            **({"stamps": self._times_of([header])} if self._stamped else {}),
        }
        self._send(Kind.SAID, about, _arrays(said))

    def _holds_much(self, group: _Group) -> bool:
        """Whether the adapter may soon want for the slots of a group."""
        frame = self._acquisitions[group.acquisition].frame_bytes
        held = sum(header["n"] for header in group.headers) * frame
        return bool(HEAVY_SLAB * held >= self._slab.size)

    def _copy_ahead(self, header: dict[str, Any]) -> None:
        """Have this batch and the next ones copied to the card, if there is one."""
        run = self._runs[header["acq"]]
        if isinstance(run, GpuRun):
            for one in (header, *islice(self.inbox, PLACES - 1)):
                if one["acq"] == header["acq"]:
                    run.ahead(batch_at(self._slab, one))

    def _part_header(self, group: _Group, said: list[Said]) -> dict[str, Any]:
        untold = [h for h in group.headers if h["seq"] not in group.told]
        failed = [header for header, _ in group.failed]
        return {
            **self._common(group, said),
            "done": [header["seq"] for header in group.headers],
            "runs": [run for header in group.headers for run in header["runs"]],
            "failed": [
                [header["seq"], header["runs"], cause] for header, cause in group.failed
            ],
            "ages": [[header["n"], header["received_ns"]] for header in untold],
            "t_ns": max((header["t_ns"] for header in group.headers), default=0),
            **({"times": self._times(group)} if self._timed else {}),
            **({"stamps": self._times_of([*untold, *failed])} if self._stamped else {}),
        }

    def _common(self, group: _Group, said: list[Said]) -> dict[str, Any]:
        """Return what results and parts begin with alike."""
        return {
            "epoch": self.epoch,
            "acq": group.acquisition,
            "chain": self._chain.name,
            "worker": self._identity,
            "held": held_to_dict(self._history.at(group.change)),
            "said": [[one.step, one.header, len(one.payload)] for one in said],
        }

    def _times(self, group: _Group) -> list[list[bytes]]:
        """Return (indices, time stamps) of each batch, packed int64."""
        failed = [header for header, _ in group.failed]
        return self._times_of([*group.headers, *failed])

    def _times_of(self, headers: list[dict[str, Any]]) -> list[list[bytes]]:
        return [
            [self._slab.view(at, (header["n"],), "<i8").tobytes() for at in where]
            for header in headers
            for where in [header["slab"][:2]]
        ]

    def _say_once(self, header: dict[str, Any], error: Exception) -> None:
        """Tell of the first failure of each kind; the ledger counts them all."""
        cause = cause_of(error)
        if cause in self._said_causes:
            return
        self._said_causes.add(cause)
        if isinstance(error, ChainRefusedError):
            self.notes.append(
                f"chain {self._chain.name!r} cannot take this acquisition: {error}"
            )
            return
        frames = header["runs"]
        log.exception("chain %s failed on a batch", self._chain.name)
        self.notes.append(
            f"chain {self._chain.name!r} failed on frames {frames[0][0]} to "
            f"{frames[-1][1]}: {type(error).__name__}: {error} (further failures of "
            "this kind are counted and not told)"
        )

    def _isolate(self, header: dict[str, Any], error: Exception) -> None:
        """Count a batch as failed, and do its neighbours again without it."""
        group = self._group
        assert group is not None
        run = self._runs[group.acquisition]
        group.failed.append((header, cause_of(error)))
        run.rollback()
        again, group.headers = group.headers, []
        for earlier in again:
            # These went well before; a processor that fails on them now is not
            # repeatable, and the worker is better restarted than trusted.
            run.process(batch_at(self._slab, earlier))
            group.headers.append(earlier)

    def _adopt(self, acquisition: str, change: int) -> None:
        """Go on with the parameters that hold for a batch of that number."""
        self._change_of[acquisition] = change
        held = self._history.at(change)
        run = self._runs[acquisition]
        if isinstance(run, ChainRun):
            run.adopt(held)
        else:
            states = self._recalled[acquisition].states
            self._recalled[acquisition] = _Recalled(states, held)
            self._prepare(acquisition)
        self._said_causes.discard("refused")

    def _ask_for_state(self, acquisition: str) -> None:
        assert self.collector is not None
        self.collector.send(
            Kind.RECALL,
            {"acq": acquisition, "chain": self._chain.name, "worker": self._identity},
        )

    def _prepare(self, acquisition: str) -> None:
        """Make the processors now, so that the first batch does not wait for them."""
        about = self._acquisitions[acquisition]
        if about.encoding != "frames":
            warm_sparse(about)
        for step in self._chain.steps:
            if isinstance(step.cls, Prepared):
                step.cls.prepare(about)
        self._runs[acquisition] = run_of(
            self._chain,
            about,
            self._device,
            *self._recalled[acquisition],
            made=None if self._gpu is None else self._gpu.run,
        )


def _arrays(said: list[Said]) -> list[bytes]:
    return [array for one in said for array in one.payload]
