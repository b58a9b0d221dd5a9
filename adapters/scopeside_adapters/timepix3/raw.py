"""Reads raw TPX3, from a connection or a file, until its end."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState, Sink, StopRequested
from scopeside.errors import ProtocolError, SourceError, SourceLostError
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.delivery import Delivery
from scopeside_adapters.timepix3.link import WAIT_S, receive
from scopeside_adapters.timepix3.protocol import RawParser, check_first_word
from scopeside_adapters.timepix3.serval import Watch

BUFFER = 1 << 20
"""Bytes that are received at once: they stay in the second-level cache."""
_ASK_AFTER_S = 2.0
_LOOK_S = 0.2


class RawStream:
    """Takes the words of one connection, or of one file."""

    def __init__(
        self,
        parser: RawParser,
        sink: Sink,
        about: Callable[[str], Acquisition],
        name: str,
        *,
        live: bool = True,
        silence_s: float = 30.0,
        quiet_s: float = 1.0,
        watch: Watch | None = None,
    ) -> None:
        self._parser = parser
        self._sink = sink
        self._name = name
        self._silence_s = silence_s
        self._quiet_s = quiet_s
        self._delivery = Delivery(parser.memory, sink, about, live=live)
        self._heard = self._delivered = self._began = time.monotonic()
        self._watch = watch
        self._looked = self._began
        self._asked = False
        self._first: int | None = None

    def receive(self, connection: socket.socket) -> None:
        """Take words until the peer hangs up."""
        view, filled, checked = memoryview(bytearray(BUFFER)), 0, False
        room: k.Array = np.frombuffer(view, "<i8")
        try:
            while (n := receive(connection, view[filled:], self._name)) != 0:
                if n is None:
                    self._wait()
                    continue
                filled += n
                if not checked and filled >= 8:
                    check_first_word(bytes(view[:8]))
                    checked = True
                self._take(room, filled >> 3)
                rest = filled & 7
                view[:rest] = view[filled - rest : filled]
                filled = rest
        except (ProtocolError, SourceLostError) as error:
            self._fail(error)
            return
        self._end("in the middle of a word" if filled else "")

    def play(self, path: Path, *, paced: bool) -> None:
        """Take the words of a file, as fast as they are taken or as they were made."""
        try:
            words = np.memmap(path, "<i8", mode="r", shape=path.stat().st_size // 8)
        except (OSError, ValueError) as error:
            raise SourceError(f"cannot read {path}: {error}") from error
        try:
            for begin in range(0, len(words), BUFFER // 8):
                part = np.array(words[begin : begin + BUFFER // 8])
                if begin == 0:
                    check_first_word(part[:1].tobytes())
                self._take(part, len(part))
                self._keep_pace(paced)
        except ProtocolError as error:
            self._fail(error)
            return
        self._end("in the middle of a word" if path.stat().st_size % 8 else "")

    # ---------------------------------------------------------------------------

    def _take(self, words: k.Array, n: int) -> None:
        m, now = self._parser.memory, time.monotonic()
        if now - self._heard > self._quiet_s:
            self._parser.resume(now - self._heard)
        self._heard = now
        done = 0
        while done < n:
            done = self._parser.feed(words, done, n)
            if done < n:
                self._make_room()
        full = m[k.FREE] * 2 * k.BLOCK < len(m) - m[k.POOL_AT]
        if full or now - self._delivered >= self._sink.max_latency_s / 2:
            self._delivered = now
            self._delivery.deliver(int(m[k.NOW] - m[k.REORDER]))
        self._ask_for_lines()
        self._look()
        if self._sink.stopping:
            raise StopRequested

    def _look(self) -> None:
        """Tell what the dashboard said, now and then."""
        watch = self._watch
        if watch is None or time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        watch.tell(self._sink)

    def _make_room(self) -> None:
        m = self._parser.memory
        self._delivery.deliver(int(m[k.NOW] - m[k.REORDER]))
        while m[k.FREE] == 0 or m[k.NEXT_ENTRY] - m[k.OLD_ENTRY] > m[k.LINE_MASK] - 2:
            self._delivery.deliver_oldest()

    def _wait(self) -> None:
        """Nothing came: hand on what must have ended by now."""
        if self._sink.stopping:
            raise StopRequested
        self._look()
        m, silent_s = self._parser.memory, time.monotonic() - self._heard
        ahead = silent_s if silent_s > self._quiet_s else 0.0
        self._delivery.deliver(int(m[k.NOW] + ahead * k.TICKS_PER_S - m[k.REORDER]))
        if silent_s > self._silence_s and self._delivery.acquisition is not None:
            self._parser.finish()
            self._delivery.deliver_all()
            self._delivery.end(
                "failed", f"{self._name} sent nothing for {self._silence_s:g} s"
            )

    def _keep_pace(self, paced: bool) -> None:
        m = self._parser.memory
        if not paced or not m[k.NEXT_ENTRY]:
            return
        if self._first is None:
            self._first = self._parser.now
        due = self._began + (m[k.NOW] - self._first) / k.TICKS_PER_S
        while (left := due - time.monotonic()) > 0:
            if self._sink.stopping:
                raise StopRequested
            time.sleep(min(left, WAIT_S))

    def _ask_for_lines(self) -> None:
        """Tell the operator if hits come but no line does."""
        m = self._parser.memory
        if self._asked or m[k.NEXT_ENTRY] or not m[k.HITS]:
            return
        if time.monotonic() - self._began > _ASK_AFTER_S:
            self._asked = True
            self._sink.note(f"{self._name}: {self._no_lines()}")

    def _no_lines(self) -> str:
        m = self._parser.memory
        return (
            f"{m[k.HITS]} hits came, but no edge of the scan signal: is it wired to "
            "the TDC input that is set here, and does Serval send that edge (Tdc)?"
        )

    def _fail(self, error: Exception) -> None:
        """Hand on what there is; the acquisition has failed."""
        self._parser.finish()
        self._delivery.deliver_all()
        message = str(error)
        if isinstance(error, ProtocolError):
            message = f"{self._name}: {error}"
            self._sink.reject(1, error.cause, message)
        if self._parser.memory[k.HITS]:
            self._delivery.begin()
        self._delivery.end("failed", message)

    def _end(self, cut: str) -> None:
        """See to what is left when the peer has hung up."""
        m = self._parser.memory
        if m[k.LEFT] > 0:
            cut = "in the middle of a chunk"
        self._parser.finish()
        self._delivery.deliver_all()
        state: EndState = "complete"
        reason = ""
        if cut:
            state, reason = "failed", f"{self._name} hung up {cut}"
        elif not m[k.NEXT_ENTRY] and m[k.HITS]:
            self._delivery.begin()
            state, reason = "failed", f"{self._name}: {self._no_lines()}"
        elif m[k.LINES_PER_SCAN] < k.HIT_WRAP:
            state = "stopped"
            line = self._delivery.next_line % int(m[k.LINES_PER_SCAN])
            reason = f"{self._name} hung up after line {line} of {m[k.LINES_PER_SCAN]}"
        self._delivery.end(state, reason)
        self._delivery.account()
