"""The adviser process: ``python -m scopeside.control.adviser_process``.

It hears results from the collector, runs rules and policies on them, and tells the
guard what they propose. It has no way to the microscope.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
import zmq

from scopeside.acquisition import Acquisition
from scopeside.child import Child, main
from scopeside.collect.feed import HIGH_WATER_REPLAY, results_in
from scopeside.control.adviser import Adviser
from scopeside.control.dose_heard import measured
from scopeside.control.policy import Seen
from scopeside.control.proposal import Proposal
from scopeside.control.timeline import Timeline
from scopeside.link import Link
from scopeside.wire import Kind, Message

log = logging.getLogger(__name__)

IDLE_MS = 1000
LAST_MS = 50
"""At the end so long is listened for what the collector said last."""
LIVE_BACKLOG = 200
"""Messages of the collector that may wait."""
STAMPS = 4096
"""Frames of a chain whose time stamps are remembered: a result may come late."""
ANSWERED_S = 2.0
"""After an acquisition the guard's answers are waited for so long, s."""
PATIENCE_S = 10.0
"""So long a decision is waited for, where decisions are to be the same each time."""


class Stamps:
    """When the last frames of a chain were taken."""

    def __init__(self) -> None:
        self._of: OrderedDict[int, int] = OrderedDict()

    def add(self, stamps: list[list[bytes]]) -> None:
        """Take (indices, time stamps) of batches, packed int64."""
        for index, t_ns in stamps:
            pairs = zip(
                np.frombuffer(index, "<i8").tolist(),
                np.frombuffer(t_ns, "<i8").tolist(),
                strict=True,
            )
            self._of.update(pairs)
        while len(self._of) > STAMPS:
            self._of.popitem(last=False)

    def of(self, frame: int, otherwise: int) -> int:
        """Return the time stamp of a frame, ns."""
        return self._of.get(frame, otherwise)


class Backlog:
    """Results that wait to be looked at; beyond `most` the oldest are given up.

    What was given up counts as missed by the one after it: old results are no evidence,
    but that there were some is.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[tuple[Message, int]] = deque()
        self._feed_of = ""
        self._next = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message) -> None:
        """Put in the message that came last."""
        missed = self._missed(message.header)
        if len(self._waiting) >= self._most:
            missed += self._give_up_oldest()
        self._waiting.append((message, missed))

    def next(self) -> tuple[Message, int]:
        """Return the oldest message, and how many are missing before it."""
        return self._waiting.popleft()

    def _give_up_oldest(self) -> int:
        """Drop the oldest results; return how many now are missing before the next."""
        heard = [k for k, (m, _) in enumerate(self._waiting) if m.kind is Kind.HEARD]
        if not heard:
            return 0
        _, before = self._waiting[heard[0]]
        del self._waiting[heard[0]]
        if len(heard) == 1:
            return before + 1
        follower, own = self._waiting[heard[1] - 1]
        self._waiting[heard[1] - 1] = (follower, own + before + 1)
        return 0

    def _missed(self, header: dict[str, Any]) -> int:
        if header["feed"] != self._feed_of:
            # A new collector may have kept results that it did not pass on.
            missed = header["number"] - 1 + bool(self._feed_of)
            self._feed_of = header["feed"]
        else:
            missed = header["number"] - self._next
        self._next = header["number"] + 1
        return int(missed)


class AdviserProcess:
    """The adviser's links: collector, guard, supervisor."""

    def __init__(self, child: Child) -> None:
        spec = child.spec
        control = spec.load_pipeline().control
        assert control is not None
        self._child = child
        self._dose = control.settings.dose
        self._replay = control.settings.clock == "frames"
        self._timeline = Timeline(always=self._replay)
        self._adviser = Adviser(control, self._timeline)
        self._acquisitions: dict[str, Acquisition] = {}
        self._stamps: defaultdict[tuple[str, str], Stamps] = defaultdict(Stamps)
        self._undecided: set[str] = set()
        self._asked: set[str] = set()
        self._over: dict[str, float] = {}
        self._waited_since = 0.0
        self._stopping = False
        self._heard = Backlog(HIGH_WATER_REPLAY if self._replay else LIVE_BACKLOG)
        self._feed = Link.listen(child.context, spec.endpoint("adviser"))
        self._guard = Link.dial(child.context, spec.endpoint("guard"), spec.identity)
        self._poller = zmq.Poller()
        for link in (child.control, self._feed, self._guard):
            self._poller.register(link.socket, zmq.POLLIN)
        child.tell(Kind.READY)
        self._join()

    def run(self) -> None:
        """Advise until the supervisor says that it is enough."""
        while not self._stopping or self._heard or self._feed.socket.poll(LAST_MS):
            self._poller.poll(0 if self._heard and self._free else IDLE_MS)
            while (message := self._child.control.receive()) is not None:
                self._obey(message)
            while (message := self._guard.receive()) is not None:
                self._hear_guard(message)
            while (found := self._feed.receive_from()) is not None:
                self._take(found[1])
            if self._heard and self._free:
                self._hear(*self._heard.next())
            self._tell_over()
            self._tell_notes()
        self._guard.flush_and_close()
        self._feed.close()

    @property
    def _free(self) -> bool:
        """Whether the next result may be looked at.

        Live, always. Where decisions are to be the same each time, only after those on
        the results before, and when it is known what the microscope is set to.
        """
        if not self._replay:
            return True
        if time.monotonic() - self._waited_since > PATIENCE_S:
            if self._undecided:
                note = "the guard has not answered; decisions may differ in a replay"
                self._child.tell(Kind.NOTE, message=note)
            self._undecided.clear()
            return True
        return not self._undecided and self._timeline.now is not None

    def _join(self) -> None:
        self._waited_since = time.monotonic()
        self._guard.send(Kind.JOIN, {"token": self._child.spec.token})

    def _obey(self, message: Message) -> None:
        match message.kind:
            case Kind.RESEND:
                self._join()  # the guard is a new one, and does not know us
            case Kind.STOP:
                self._stopping = True
            case Kind.EPOCH:
                pass  # results bear their own
            case other:
                log.warning("the adviser does not know what to do on %s", other)

    def _hear_guard(self, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.READBACK:
                self._timeline.take(header["t_ns"], header["values"])
            case Kind.DECIDED:
                self._undecided.discard(header["id"])
                self._asked.discard(header["id"])
                said = (
                    header["id"],
                    header["state"],
                    header["cause"],
                    header["reason"],
                )
                self._propose(self._adviser.decided(*said, now_ns=time.time_ns()))
            case other:
                log.warning("the adviser does not know what to do on %s", other)

    def _take(self, message: Message) -> None:
        """Put a message in line; that an acquisition begins is known at once."""
        if message.kind is Kind.START:
            acquisition = Acquisition.from_dict(message.header["acquisition"])
            self._acquisitions[acquisition.id] = acquisition
        self._heard.add(message)

    def _hear(self, message: Message, missed: int) -> None:
        header = message.header
        match message.kind:
            case Kind.START:
                self._adviser.begin(self._acquisitions[header["acquisition"]["id"]])
            case Kind.HEARD:
                self._results(message, missed)
            case Kind.END:
                self._acquisitions.pop(header["acq"], None)
                self._over[header["acq"]] = time.monotonic()
                for key in [key for key in self._stamps if key[0] == header["acq"]]:
                    del self._stamps[key]
            case other:
                log.warning("the adviser does not know what to do on %s", other)

    def _results(self, message: Message, missed: int) -> None:
        header = message.header
        acquisition = self._acquisitions.get(header["acq"])
        if acquisition is None:
            return  # the message that told of it is missing
        stamps = self._stamps[header["acq"], header["chain"]]
        stamps.add(header["stamps"])
        for processor, result in results_in(message):
            t_ns = stamps.of(result.frame, header["t_ns"])
            seen = Seen(
                acquisition=acquisition,
                epoch=header["epoch"],
                chain=header["chain"],
                processor=processor,
                result=result,
                t_ns=t_ns,
                missed=missed,
                final=header["final"],
            )
            self._count(seen)
            now_ns = t_ns if self._replay else time.time_ns()
            self._propose(self._adviser.hear(seen, now_ns))

    def _count(self, seen: Seen) -> None:
        """Tell the guard of the dose rate, if this is the result that counts it."""
        found = measured(self._dose, seen.processor, seen.result)
        if found is not None:
            rate, sigma = found
            header = {"token": self._child.spec.token, "t_ns": seen.t_ns}
            header |= {"rate_e_per_A2_s": rate, "sigma": sigma}
            self._guard.send(Kind.HEARD, header)

    def _propose(self, proposals: list[Proposal]) -> None:
        for proposal in proposals:
            header = {
                "token": self._child.spec.token,
                "proposal": proposal.to_dict(),
            }
            try:
                self._guard.send(Kind.PROPOSAL, header)
            except (TypeError, ValueError, OverflowError) as error:
                self._child.tell(
                    Kind.NOTE,
                    message=f"policy {proposal.rule!r} proposed what cannot be sent: "
                    f"{type(error).__name__}: {error}",
                )
                continue
            self._asked.add(proposal.id)
            if self._replay:
                self._undecided.add(proposal.id)
                self._waited_since = time.monotonic()

    def _tell_over(self) -> None:
        """Say of an acquisition that all decisions on it are written down."""
        now = time.monotonic()
        for name, since in list(self._over.items()):
            if not self._asked or now - since > ANSWERED_S:
                del self._over[name]
                self._asked.clear()
                self._child.tell(Kind.ADVISED, acq=name)

    def _tell_notes(self) -> None:
        for note in self._adviser.notes:
            self._child.tell(Kind.NOTE, message=note)
        self._adviser.notes.clear()


def run(child: Child) -> None:
    """Run an adviser."""
    AdviserProcess(child).run()


if __name__ == "__main__":
    main(run)
