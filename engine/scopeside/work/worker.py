"""Works through batches and hands parts of results to the collector.

A batch stays the worker's responsibility until the collector has confirmed the part
that it went into; until then its slot is not given back, so it can be sent again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from itertools import islice
from typing import Any, NamedTuple

from scopeside.acquisition import Acquisition
from scopeside.board import Board
from scopeside.changes import Change, Held, History, held_from_dict
from scopeside.errors import ChainRefusedError
from scopeside.link import Link
from scopeside.packed import warm_sparse
from scopeside.pipeline import Chain
from scopeside.processor import Device, Prepared
from scopeside.slab import Slab, batch_at
from scopeside.wire import Buffer, Kind, Message, encode
from scopeside.work.chain import ChainRun, RefusedRun, Said, cause_of, run_of
from scopeside.work.gpu import PLACES, Gpu, GpuRun
from scopeside.work.group import HEAVY_BYTES, MAX_GROUP, CommitPace, Group
from scopeside.work.part import PartHeaders

log = logging.getLogger(__name__)

IDLE_MS = 1000
"""How long an idle worker waits before it looks around."""


class _Recalled(NamedTuple):
    """What the processors of an acquisition begin with."""

    states: dict[str, bytes]
    held: Held


class Worker:
    """One worker of a chain; `work` is called for one batch at a time.

    Parameters
    ----------
    timed, stamped
        What parts say of when their frames were taken: see `PartHeaders`.
    gpu
        The card that the chain's GPU twins run on.
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
        group_size = MAX_GROUP if chain.edge.policy == "lossless" else 1
        self._pace = CommitPace(group_size, slab)
        self._headers = PartHeaders(
            chain.name, identity, slab, timed=timed, stamped=stamped
        )
        self._device: Device = device
        self._gpu = gpu
        self._slab = slab
        self._board = board
        self._identity = identity
        self._acquisitions: dict[str, Acquisition] = {}
        self._runs: dict[str, ChainRun | RefusedRun] = {}
        self._recalled: dict[str, _Recalled] = {}
        self._history = History()
        self._change_of: dict[str, int] = {}
        self._group: Group | None = None
        self._parts: dict[int, list[Buffer]] = {}
        self._said_causes: set[str] = set()
        self._number = 0
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
            frame_bytes = self._acquisitions[name].frame_bytes
            self._group = Group(name, change, began, frame_bytes)
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
        held = self._history.at(group.change)
        header = self._headers.of_part(group, held, said, self.epoch)
        header["states"] = len(states)
        self._send(Kind.PART, header, [*states, *_arrays(said)])
        self._pace.sent(began)

    def commit_if_due(self) -> int:
        """Commit if it is time; return for how long nothing is to be done, ms."""
        group = self._group
        if group is None:
            return IDLE_MS
        wait_ms = self._pace.due_in_ms(group, idle=not self.inbox)
        if wait_ms == 0:
            self.commit()
            return IDLE_MS
        return wait_ms

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
        held = self._history.at(group.change)
        about = self._headers.of_said(group, header, held, said, self.epoch)
        self._send(Kind.SAID, about, _arrays(said))

    def _copy_ahead(self, header: dict[str, Any]) -> None:
        """Have this batch and the next ones copied to the card, if there is one."""
        run = self._runs[header["acq"]]
        if isinstance(run, GpuRun):
            for one in (header, *islice(self.inbox, PLACES - 1)):
                if one["acq"] == header["acq"]:
                    run.ahead(batch_at(self._slab, one))

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
