"""The supervisor: one loop that starts the processes, watches them, and ends them.

It hears its children over one socket, reads their boards, and never waits for any one
of them. What happens to whom:

- a worker dies: its batches are fenced and go to another; it is restarted;
- the collector dies: it is restarted, recovers from its journal, and workers repeat
  what it had not confirmed;
- the adapter dies: workers finish what they hold, the acquisition is closed as failed
  with exactly the frames that were received, and a new adapter starts if the detector
  can go on;
- the channels process, the adviser or the guard dies: it is restarted, frames go on
  without it; a guard that was restarted is parked;
- the recorder dies: what it had copied aside outlives it, what it held in the slab is
  sent to the next one;
- the page dies: it is restarted, and nothing else knows of it;
- one dies too often: it is DEGRADED, and everybody is told.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from scopeside import plugins
from scopeside.link import Link
from scopeside.pipeline import Pipeline
from scopeside.record.settings import EDGE
from scopeside.runfolder import RunFolder
from scopeside.supervise import crew
from scopeside.supervise.books import Books, book_of
from scopeside.supervise.deaths import Deaths
from scopeside.supervise.ending import GRACE_S, Ending
from scopeside.supervise.fences import Fences
from scopeside.supervise.forks import Forks
from scopeside.supervise.marks import Marks
from scopeside.supervise.member import MODULES, Member, State
from scopeside.supervise.memory import Memory
from scopeside.supervise.parameters import Parameters
from scopeside.supervise.phase import Phase
from scopeside.supervise.processes import Processes
from scopeside.supervise.pulse import Pulse
from scopeside.supervise.recording import Recording
from scopeside.supervise.recovery import Recovery
from scopeside.supervise.underway import UnderWay
from scopeside.supervise.welcome import Welcome
from scopeside.wire import Kind, Message

log = logging.getLogger(__name__)

RESULTS_PORT = 8766
TICK_MS = 200
END_TICK_MS = 10
"""The end of a process is no message: it is looked for so often while they end."""
SLOW_START_S = 5.0
MAX_NOTES = 500


class Engine:
    """All processes of one pipeline.

    Parameters
    ----------
    limit
        End after so many acquisitions; None: when the detector has no more.
    results_folder
        The last value of each result is written there; None: nowhere.
    results_port
        Of 127.0.0.1, where results are published; a free one if it is taken.
    page_port
        Of 127.0.0.1, where the page is; a free one if it is taken. None: no page.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        folder: RunFolder,
        *,
        limit: int | None = None,
        results_folder: Path | None = None,
        quarantine_folder: Path = Path("quarantine"),
        results_port: int = RESULTS_PORT,
        page_port: int | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.phase = Phase.STARTING
        self.books = Books()
        self.notes: deque[tuple[float, str, str]] = deque(maxlen=MAX_NOTES)
        self.notes_total = 0
        self.began = time.monotonic()
        self.went: float | None = None
        self.failure = ""
        self.adapter_error = ""
        self._limit = limit
        self._forks = Forks(("numba", *MODULES.values(), *plugins.imported()))
        self._memory = Memory(pipeline)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._control = Link.listen(self._context, f"ipc://{folder.path}/control")
        self._going = False
        self._said_slow = False
        self._stop_asked = ""
        self._deadline: float | None = None
        self._abandoned = False
        self._resumes = getattr(
            pipeline.detector_cls(pipeline.detector_params, pipeline.acquisition),
            "resumes",
            True,
        )
        self.members = crew.members(
            pipeline,
            self._memory,
            self._forks,
            folder.path,
            results_folder=results_folder,
            quarantine_folder=quarantine_folder,
            results_port=results_port,
            page_port=page_port,
        )
        self._processes = Processes(
            self.members, self._control, pipeline.engine, self.note, self._for_adapter
        )
        self._say = self._processes.say
        self._pulse = Pulse(self._processes)
        self._ending = Ending(self._processes)
        self._recovery = Recovery(self._say)
        self._fences = Fences(self._say)
        self.recording = Recording(
            self.members.get("recorder"),
            self.books,
            self._say,
            self.note,
            pipeline.engine.drain_s,
            adviser=self._who_decides(),
        )
        under_way = UnderWay(self.members["adapter"].board, self.books)
        self._deaths = Deaths(
            self._processes, self._recovery, self._fences, self.recording, self._say
        )
        self.parameters = Parameters(
            pipeline, self._say, self._answer, self.note, under_way.running
        )
        self._marks = Marks(
            pipeline.record, self._say, self._answer_mark, under_way.newest
        )
        self.servers: dict[str, str] = {}
        self._welcome = Welcome(
            self._processes,
            self._fences,
            self._marks,
            self.recording,
            self.parameters,
            self.servers,
            self._deaths.blind,
        )
        self.on_status_asked: Callable[[int | None], dict[str, Any]] | None = None
        self._forks.prepare()  # it imports while we do other things

    # -- for whoever runs it ----------------------------------------------------

    def start(self) -> None:
        """Start all processes; `turn` does the rest."""
        self.began = time.monotonic()
        for member in self.members.values():
            self._processes.start(member)

    def turn(self, wait_ms: int = TICK_MS) -> None:
        """Wait a little for news, then do what they ask for."""
        if self.went is None and self.members["adapter"].board.read().get("frames"):
            self.went = time.monotonic()
        if self.phase is Phase.ENDING:
            wait_ms = min(wait_ms, END_TICK_MS)
        self._pulse.beat()
        self._hear_all(self._pulse.wait_ms(wait_ms))
        for member in list(self.members.values()):
            self._look_after(member)
        self.recording.look()
        self._advance()

    def request_stop(self, reason: str) -> None:
        """End: the detector stops, what was received is processed, all is closed."""
        if self._stop_asked:
            return
        self._stop_asked = reason
        self.note("engine", f"stopping ({reason}): processing what was received")
        self.parameters.close(f"the engine is stopping ({reason})")
        self._deadline = time.monotonic() + self.pipeline.engine.drain_s
        if self.phase in (Phase.STARTING, Phase.RUNNING):
            self.phase = Phase.DRAINING
            self._say("adapter", Kind.STOP)

    @property
    def stopped_by(self) -> str:
        """Why the end was asked for, empty if it was not."""
        return self._stop_asked

    @property
    def ended(self) -> bool:
        """Whether everything is over."""
        return self.phase is Phase.ENDED

    def close(self) -> None:
        """Kill what still runs and give everything back."""
        self._processes.kill()
        self._forks.close()
        self._control.close()
        self._context.destroy(linger=0)
        self._memory.close()
        for member in self.members.values():
            os.close(member.spec.board_fd)

    def note(self, who: str, text: str) -> None:
        """Keep something the operator should know."""
        self.notes.append((time.time(), who, text))
        self.notes_total += 1

    # -- processes --------------------------------------------------------------

    def _for_adapter(self) -> dict[str, Any]:
        """Return what a new adapter process is told."""
        limit = None if self._limit is None else self._limit - self.books.count
        return {"limit": limit, "used_ids": tuple(book.id for book in self.books)}

    def _look_after(self, member: Member) -> None:
        if member.state in (State.ENDED, State.DEGRADED):
            return
        how = self._processes.end_of(member)
        if how is None:
            return
        if self.phase is Phase.ENDING or (
            member.spec.role == "adapter" and self._adapter_is_done
        ):
            member.state = State.ENDED
            return
        self.note(member.name, how)
        self._mourn(member)

    @property
    def _adapter_is_done(self) -> bool:
        return self.members["adapter"].state is State.ENDED

    def _mourn(self, member: Member) -> None:
        """Do what the death of a process asks for."""
        match member.spec.role:
            case "worker":
                self._deaths.worker(member, recovering=self.phase is Phase.RECOVERING)
            case "collector":
                self._collector_died(member)
            case "channels" | "adviser" | "guard":
                self._processes.restart(member)
            case "page":
                if not self._processes.restart(member):
                    self.servers.pop("page", None)
            case "recorder":
                self._deaths.recorder(member)
            case _:
                self._adapter_died(member)

    def _collector_died(self, member: Member) -> None:
        if self._processes.restart(member):
            return
        self.members["adapter"].kill()
        self._fail("the collector could not be kept alive")

    def _adapter_died(self, member: Member) -> None:
        """Let the workers finish, then close what was open as failed."""
        if self.phase is Phase.RECOVERING:
            return
        self.phase = Phase.RECOVERING
        self.parameters.adapter_is_gone()
        self._going = False
        member.state = State.ENDED
        if self._deadline is None:
            self._deadline = time.monotonic() + self.pipeline.engine.drain_s
        self._recovery.begin(
            member.board.read().get("open", {}),
            self.books.ids,
            self._processes.readers,
            "the adapter process died",
        )

    # -- messages ---------------------------------------------------------------

    def _hear_all(self, wait_ms: int) -> None:
        self._control.socket.poll(wait_ms)
        while (found := self._control.receive_from()) is not None:
            self._hear(*found)

    def _hear(self, sender: bytes, message: Message) -> None:
        header = message.header
        if message.kind is Kind.STATUS and self.on_status_asked is not None:
            ended = header.get("ended")
            most = ended if type(ended) is int and ended >= 0 else None
            self._control.send(Kind.STATUS, self.on_status_asked(most), to=sender)
            return
        name, _, incarnation = sender.decode(errors="replace").partition("#")
        member = self.members.get(name)
        if member is None and message.kind is Kind.PARAM:
            self.parameters.ask(sender, header)
            return
        if member is None and message.kind is Kind.KEEP:
            self._marks.ask(sender, header)
            return
        current = member is not None and incarnation == str(member.spec.incarnation)
        if not current and message.kind is not Kind.CLOSED:
            return  # the last words of one that is gone
        match message.kind:
            case Kind.READY if member is not None:
                self._welcome.ready(member, header, self.phase)
                if member.spec.role == "adapter" and self._stop_asked:
                    self._say("adapter", Kind.STOP)
            case Kind.NOTE:
                self.note(name, header["message"])
            case Kind.PARAM:
                self.parameters.hear(header)
            case Kind.KEEP:
                self._marks.hear(header)
            case Kind.FENCED:
                self._fences.confirmed(header["worker"])
            case Kind.DRAINED:
                self._recovery.drained(name)
            case Kind.CLOSED:
                self._closed(header)
            case Kind.ADVISED:
                self.recording.decided(header["acq"])
            case Kind.RECORDED:
                self.recording.recorded(header)
            case Kind.DONE if member is not None:
                member.state = State.ENDED
                self.adapter_error = header["error"]
            case other:
                log.warning("unexpected %s from %s", other.name, name)

    def _answer(self, client: bytes, header: dict[str, Any]) -> None:
        self._control.send(Kind.PARAM, header, to=client)

    def _answer_mark(self, client: bytes, header: dict[str, Any]) -> None:
        self._control.send(Kind.KEEP, header, to=client)

    def _closed(self, header: dict[str, Any]) -> None:
        name = header["acq"]
        aborted = self._recovery.closed(name)
        if name in self.books:
            return  # said again by a collector that was restarted
        book = book_of(header, "adapter_died" if aborted else None)
        self.books.add(book)
        self.recording.add(book, header, "adapter_died" if aborted else "")
        for problem in book.problems:
            self.note("collector", problem)

    # -- phases -----------------------------------------------------------------

    def _advance(self) -> None:
        match self.phase:
            case Phase.STARTING:
                self._go_when_ready()
            case Phase.RUNNING | Phase.DRAINING:
                if self._adapter_is_done:
                    self._end_when_recorded()
                elif self._overdue:
                    self._give_up_draining()
            case Phase.RECOVERING:
                self._recover()
            case Phase.ENDING:
                self._finish()
            case Phase.ENDED:
                pass

    def _who_decides(self) -> Member | None:
        """Return the adviser if results are passed on to it."""
        control = self.pipeline.control
        wants = control is not None and control.wants
        return self.members.get("adviser") if wants else None

    def _end_when_recorded(self) -> None:
        """End, once the recorder has finished its runs, or gets on no more."""
        if self.recording.pending and self.recording.moves:
            return
        self.recording.lost()
        self.phase = Phase.ENDING
        self._end_children()

    def _go_when_ready(self) -> None:
        if not self._said_slow and time.monotonic() - self.began > SLOW_START_S:
            self._said_slow = True
            self.note(
                "engine",
                "still starting: the first start compiles kernels, which can take a "
                "minute; later starts take seconds",
            )
        states = {m.name: m.state for m in self.members.values() if not m.beside}
        if State.STARTING in states.values():
            return
        if not self._going and states["adapter"] is State.RUNNING:
            self._going = True
            workers = {
                chain.name: len(self._processes.workers_of(chain.name, State.RUNNING))
                for chain in self.pipeline.chains
            }
            if self.pipeline.record is not None:
                workers[EDGE] = int(states["recorder"] is State.RUNNING)
            for chain, n in workers.items():
                if n == 0:
                    self._deaths.degrade(chain)
            self._say("adapter", Kind.GO, workers=workers)
            self.phase = Phase.RUNNING

    @property
    def _overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _give_up_draining(self) -> None:
        """Count as failed what is not processed by now; then wait for nobody."""
        open_ones = self.members["adapter"].board.read().get("open", {})
        if self.recording.moves and self.recording.only_it_is_left(open_ones):
            return  # what was received is brought to the disk, however long it takes
        if not self._abandoned:
            self._abandoned = True
            self._deadline = time.monotonic() + GRACE_S
            self.note("engine", "draining took too long; the rest counts as failed")
            self._say("adapter", Kind.ABORT, recording=not self.recording.moves)
        else:
            self.note("engine", "the adapter does not end; it is killed")
            self.members["adapter"].kill()

    def _recover(self) -> None:
        recovery = self._recovery
        recovery.send_aborts(self.members["collector"])
        if recovery.draining and self._overdue:
            for name in recovery.draining:
                self.members[name].kill()
        if not recovery.over or (self.recording.pending and self.recording.moves):
            return
        self._deadline = None
        adapter = self.members["adapter"]
        more = self._limit is None or self.books.count < self._limit
        if self._stop_asked or not self._resumes or not more:
            self._fail("the adapter process died")
        elif self._processes.restart(adapter):
            for worker in self._processes.workers:
                if worker.state is State.ENDED:
                    self._processes.restart(worker)
            self.phase = Phase.STARTING
        else:
            self._fail("the adapter could not be kept alive")

    def _fail(self, why: str) -> None:
        """End the run, for a reason that is told at the end."""
        self.failure = self.failure or why
        self.phase = Phase.ENDING
        self._end_children()

    def _end_children(self) -> None:
        self._ending.ask()
        self.parameters.end()

    def _finish(self) -> None:
        if self._ending.look():
            self._hear_all(wait_ms=50)  # last words that were still under way
            self.phase = Phase.ENDED
