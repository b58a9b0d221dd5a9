"""The guard's process: ``python -m scopeside.control.guard_process``.

It is the only owner of the connections to the instrument. What may be done is decided
by `Guard`, which does no I/O; here it is heard, done and written down. Three threads:
this one, the `Actuator` and the `Stopper` (with the `Blanker`), none of which can make
another wait. It outlives the supervisor for as long as it takes to hold, to blank if a
dose budget is enforced, and to write the log.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Any

import zmq

from scopeside.child import Child, main
from scopeside.control.actuator import Actuator
from scopeside.control.book import Book
from scopeside.control.connection import Connection
from scopeside.control.desk import MAX_TURN, Desk
from scopeside.control.doer import Doer
from scopeside.control.dose_past import DosePast
from scopeside.control.guard import Guard
from scopeside.control.hold import Hold
from scopeside.control.news import (
    Answered,
    Blanked,
    Failed,
    Lost,
    News,
    Note,
    Orphaned,
    Post,
    Read,
    Stopped,
    Terminated,
)
from scopeside.control.parts import (
    account_of,
    blanker_of,
    clock_of,
    control_of,
    door_of,
    dose_rate,
    frame_time,
)
from scopeside.control.stopper import Stopper, Watch
from scopeside.control.telling import DOOR, Telling
from scopeside.errors import AuditError, EngineError, ProtocolError
from scopeside.wire import Kind, Message

TICK_MS = 20
BOARD_S = 0.5
LAST_ANSWER_S = 2.0
"""At the end so long is waited for the answer to a command that is in flight."""
LAST_MS = 50
"""At the end the adviser's last words are awaited for so long."""
HEAR_OUT_S = 2.0
"""At the end so long is listened, however much is said."""
CLOSE_S = 0.5
"""At the end so long is waited for a connection to be closed."""
FAIL_S = 5.0
"""After an error of our own so long is waited for the beam to be blanked."""


class GuardProcess:
    """Hears everybody, asks the guard, and has done what it says."""

    def __init__(self, child: Child) -> None:
        spec = child.spec
        self._child = child
        self._control = control_of(spec)
        settings = self._control.settings
        child.tell(Kind.READY)
        self._clock = clock_of(settings)
        self._hold = Hold()
        self._watch = Watch()
        self._post = Post()
        self._heard_of_blanks = Post()
        self._blanker = blanker_of(self._control, [self._post, self._heard_of_blanks])
        self._stopper = Stopper(
            spec.endpoint("stop"),
            hold=self._hold,
            blanker=self._blanker,
            post=self._post,
            heard=self._heard_of_blanks,
            watch=self._watch,
            parent=spec.parent,
            silence_s=settings.silence_ms / 1e3,
        )
        self._blanker.start()
        self._stopper.start()
        self._desk = Desk(child.context, spec.endpoint("guard"), spec.token)
        self._door, shut = door_of(settings)
        self._telling = Telling(
            self._desk, self._door, absent=self._control.instrument_cls is None
        )
        self._poller = zmq.Poller()
        for source in (child.control.socket, self._desk.socket, self._post.fd):
            self._poller.register(source, zmq.POLLIN)
        if self._door is not None:
            self._poller.register(self._door.socket, zmq.POLLIN)
        self._epoch = spec.epoch
        self._degraded: tuple[str, ...] = ()
        self._forged_told = 0
        self._board_at = 0.0
        self._ending_since: float | None = None

        book = Book(settings.audit)
        self._dose, damaged = account_of(settings, book)
        self._changes = 0
        self._dose_past = DosePast()
        instrument = self._control.instrument()
        hands = None if instrument is None else Connection(instrument)
        self._actuator = None if hands is None else self._new_actuator(hands)
        self._guard = Guard(
            settings,
            frozenset() if hands is None else hands.actions,
            plan=hands.plan if hands is not None and hands.plans else None,
            dose=self._dose,
            restarted=spec.incarnation > 1,
        )
        self._book = book
        self._doer = Doer(
            guard=self._guard,
            book=book,
            account=None if self._dose is None else self._dose.to_dict,
            actuator=self._actuator,
            blanker=self._blanker,
            clock=self._clock,
            tell=self._telling.outcome,
            say=self._say,
            changing=self._telling.changing,
        )
        if shut:
            self._say(shut)
        if damaged:
            self._say(damaged)
            self._doer.park(damaged)

    def _new_actuator(self, connection: Connection) -> Actuator:
        actuator = Actuator(
            connection,
            blanker=self._blanker,
            post=self._post,
            hold=self._hold,
            clock=self._clock,
            read_every_s=self._control.settings.read_every_ms / 1e3,
        )
        actuator.start()
        return actuator

    def run(self) -> None:
        """Guard until the supervisor says that it is enough, or is gone."""
        signal.signal(signal.SIGTERM, lambda *_: self._post.put(Terminated()))
        while not self._over:
            self._poller.poll(TICK_MS)
            self._watch.turned = time.monotonic()
            for news in self._post.take():
                self._take(news)
            self._hear_supervisor()
            self._hear_desk()
            self._hear_door()
            self._doer.do(self._guard.tick(self._clock.now_ns()))
            self._account()
            self._doer.settle()
            self._watch.enforced = self._enforced
            self._write_board()
        self._close()

    def _account(self) -> None:
        """Have the dose account on disk when it has changed, and say what it says."""
        if self._dose is None:
            return
        if self._dose.changes != self._changes:
            self._changes = self._dose.changes
            self._doer.settle(durably=True)
        for text in self._dose.told():
            self._say(text)

    def fail(self) -> None:
        """Hold, and blank if a budget is enforced, after an error of our own."""
        self._hold.ask()
        if self._watch.enforced:
            self._blanker.blank("the guard has failed")
        until = time.monotonic() + FAIL_S
        while self._blanker.busy and time.monotonic() < until:
            time.sleep(TICK_MS / 1e3)

    # -- the end ----------------------------------------------------------------

    @property
    def _enforced(self) -> bool:
        """Whether the beam is to be blanked if in doubt."""
        observes = self._control.settings.mode == "observe"
        return self._dose is not None and self._dose.enforced and not observes

    def _end(self, reason: str) -> None:
        """Begin nothing any more; what is in flight or to be blanked is waited for."""
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            self._hold.ask()
            self._doer.do(self._guard.end(reason, self._clock.now_ns()))

    @property
    def _over(self) -> bool:
        if self._ending_since is None:
            return False
        ending_s = time.monotonic() - self._ending_since
        if self._blanker.busy:
            return ending_s > self._blanker.give_up_s
        return ending_s > LAST_ANSWER_S or not self._doer.in_flight

    def _close(self) -> None:
        """Write down what was told last, and close everything."""
        for news in self._post.take():
            self._take(news)
        self._doer.settle(durably=True)
        self._write_board(now=True)  # the report is made from what it says last
        self._stopper.stop()
        if self._actuator is not None:
            self._actuator.stop(CLOSE_S)
        self._blanker.stop(CLOSE_S)
        self._desk.close()
        if self._door is not None:
            self._door.close()
        try:
            self._book.close()
        except AuditError as error:
            self._say(str(error))

    # -- threads ----------------------------------------------------------------

    def _take(self, news: News) -> None:
        now_ns, guard, do = self._clock.now_ns(), self._guard, self._doer.do
        match news:
            case Read(readback):
                do(guard.read(readback, now_ns))
                self._telling.read(readback, in_flight=bool(self._doer.in_flight))
            case Lost(reason):
                do(guard.unreadable(reason, now_ns))
                self._telling.changing(now_ns)
            case Answered(name, ok, answer, reason, readback):
                self._doer.landed()
                do(guard.answered(name, ok, answer, reason, readback, now_ns))
                if readback is not None:
                    self._telling.read(readback, in_flight=False)
            case Stopped(number, ask, who, reason):
                self._doer.hold = number
                request = {"ask": ask, "id": "", "who": who, "reason": reason}
                do(guard.ask(request, "", now_ns))
            case Blanked(number, ok, reason):
                # Of several that are under way the guard hears of the last: till then
                # the beam may change without anybody else having done it.
                if number >= self._doer.blank:
                    do(guard.blanked(ok, reason, now_ns))
                self._telling.changing(now_ns)
            case Orphaned():
                self._end("the supervisor is gone")
            case Terminated():
                self._end("it was asked to end by a signal")
            case Failed(reason):
                raise EngineError(reason)
            case Note(text):
                self._say(text)

    # -- the supervisor ---------------------------------------------------------

    def _hear_supervisor(self) -> None:
        while True:
            try:
                message = self._child.control.receive()
            except ProtocolError as error:
                self._say(f"the supervisor said what cannot be read: {error}")
                continue
            if message is None:
                return
            self._obey(message)

    def _obey(self, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.BEAT:
                self._degraded = tuple(header.get("degraded", ()))
                self._beat()
            case Kind.EPOCH:
                self._epoch = header.get("epoch", self._epoch)
                self._beat()
            case Kind.STOP:
                self._hear_out()
                self._end("the engine ends")
            case other:
                self._say(f"the guard does not know what to do on {other.name}")

    def _beat(self) -> None:
        now_ns = self._clock.now_ns()
        self._doer.do(self._guard.beat(self._epoch, self._degraded, now_ns))

    def _say(self, text: str) -> None:
        self._child.tell(Kind.NOTE, message=text)

    def _write_board(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._board_at > BOARD_S:
            self._board_at = time.monotonic()
            status = self._status()
            self._dose_past.take(status["dose"], self._clock.now_ns())
            self._child.board.update(
                control=status, command_latencies=self._doer.ages.counts
            )

    def _status(self) -> dict[str, Any]:
        return {
            **self._guard.status(),
            "readback": self._telling.known,
            "in_flight": self._doer.in_flight,
            "unwritten": self._doer.unwritten,
            "audit": str(self._book.path),
            "garbled": self._desk.garbled,
            "forged": self._desk.forged,
            "door": None if self._door is None else self._door.status(),
        }

    # -- adviser and persons ----------------------------------------------------

    def _hear_desk(self) -> None:
        for client, message in self._desk.hear():
            self._heard(client, message)
        if self._desk.forged > self._forged_told:
            self._forged_told = self._desk.forged
            self._say(f"{self._forged_told} messages bore a wrong token; refused")

    def _hear_door(self) -> None:
        if self._door is None:
            return
        for _ in range(MAX_TURN):
            heard = self._door.receive()
            if heard is None:
                break
            self._heard(heard.client, heard.message)
        for text in self._door.told():
            self._say(text)

    def _hear_out(self) -> None:
        """Hear what the adviser has said before it ended."""
        until = time.monotonic() + HEAR_OUT_S
        while self._desk.socket.poll(LAST_MS) and time.monotonic() < until:
            self._watch.turned = time.monotonic()
            self._hear_desk()

    def _heard(self, client: str, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.JOIN:
                self._telling.welcome(self._clock.now_ns())
            case Kind.PROPOSAL:
                values: Any = header.get("proposal")
                self._clock.hear(frame_time(values))
                now_ns = self._clock.now_ns()
                self._doer.do(self._guard.propose(values, client, now_ns))
            case Kind.HEARD:
                self._measured(header)
            case Kind.STATUS:
                asked = {"id": header.get("id", "")}
                if header.get("past") and not client.startswith(DOOR):
                    asked["past"] = self._dose_past.told()
                self._telling.answer(client, Kind.STATUS, self._status() | asked)
            case _:
                # A person may have made room: what could not be written is tried again.
                self._doer.unwritten = ""
                now_ns = self._clock.now_ns()
                self._doer.do(self._guard.ask(dict(header), client, now_ns))

    def _measured(self, header: Mapping[str, Any]) -> None:
        measured = dose_rate(header)
        if measured is None:
            self._desk.garbled += 1
            return
        self._clock.hear(measured[2])
        self._doer.do(self._guard.measured(*measured, self._clock.now_ns()))


def run(child: Child) -> None:
    """Run the guard."""
    process = GuardProcess(child)
    try:
        process.run()
    except BaseException:
        process.fail()
        raise


if __name__ == "__main__":
    main(run, outlives_parent=True)
