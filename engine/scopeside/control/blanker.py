"""The thread that blanks: it owns the second connection, and does nothing else with it.

A blank that fails is tried again, with a new connection, until it works or `GIVE_UP_S`
have passed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from scopeside.control.connection import Connection
from scopeside.control.instrument import Call
from scopeside.control.news import Blanked, Failed, Note, Post
from scopeside.errors import InstrumentError

log = logging.getLogger(__name__)

GIVE_UP_S = 60.0
MARGIN_S = 1.0
RETRY_S = 0.2
CHECK_S = 2.0
"""The idle connection is looked at so often: a blank should not find it dead."""
_BLANK = Call("blank", {"on": True})


class Blanker:
    """Blanks the beam in a thread of its own, and tells every one of `posts`.

    Parameters
    ----------
    connection
        None: there is none that could blank, and every blank fails at once.
    lacking
        Why there is none.
    give_up_s
        So long it tries; by default `GIVE_UP_S`.
    """

    def __init__(
        self,
        connection: Connection | None,
        posts: Sequence[Post],
        lacking: str = "there is no instrument",
        give_up_s: float | None = None,
    ) -> None:
        self._give_up_s = give_up_s
        self._connection = connection
        self._lacking = lacking
        self._posts = posts
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._asked = 0
        self._settled = 0
        self._since = 0.0
        self._told = 0
        self._lost = ""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="blanker", daemon=True)

    def start(self) -> None:
        """Begin: connect, and wait."""
        self._thread.start()

    @property
    def give_up_s(self) -> float:
        """For how long it tries to blank, s."""
        return GIVE_UP_S if self._give_up_s is None else self._give_up_s

    @property
    def asked(self) -> int:
        """How many blanks were asked for."""
        return self._asked

    @property
    def busy(self) -> bool:
        """Whether a blank was asked for that has neither worked nor been given up.

        One that hangs for so long counts as given up: nobody waits for it any more.
        """
        return (
            self._wanted and time.monotonic() - self._since < self.give_up_s + MARGIN_S
        )

    @property
    def _wanted(self) -> bool:
        return self._asked > self._settled

    def blank(self, reason: str) -> int:
        """Blank now; returns the number of the request, which `Blanked` bears."""
        with self._lock:
            if not self.busy:
                self._since = time.monotonic()
            self._asked += 1
            number = self._asked
        self._wake.set()
        log.debug("blank %d: %s", number, reason)
        return number

    def stop(self, wait_s: float) -> None:
        """Disconnect and end, unless it hangs in a call."""
        self._stopping = True
        self._wake.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            self._check()
            while not self._stopping:
                if self._wanted:
                    self._attempt(self._asked)
                elif self._wake.wait(CHECK_S):
                    self._wake.clear()
                else:
                    self._check()
            if self._connection is not None:
                self._connection.close()
        except Exception as error:
            log.exception("the blanker ended by an error")
            self._tell(Failed(f"blanker: {type(error).__name__}: {error}"))

    def _attempt(self, number: int) -> None:
        """Try once; it settles all requests that were made before it began."""
        try:
            reason = self._blanked()
        except InstrumentError as error:
            over = time.monotonic() - self._since > self.give_up_s
            if over or self._connection is None:
                self._settle(Blanked(number, False, str(error), True))
                return
            if number > self._told:
                self._told = number
                why = f"{error}; it is tried again"
                self._tell(Blanked(number, False, why, False))
            self._wake.wait(RETRY_S)
            self._wake.clear()
        else:
            self._settle(Blanked(number, True, reason, True))

    def _blanked(self) -> str:
        """Blank and read back; returns what is left to say."""
        if self._connection is None:
            raise InstrumentError(self._lacking)
        try:
            self._connection.open()
            self._connection.act(_BLANK)
        except InstrumentError:
            self._connection.close()
            raise
        try:
            readback = self._connection.read()
        except InstrumentError as error:
            self._connection.close()
            return f"blanked, but not read back: {error}"
        if readback.values.get("blanked") is False:
            raise InstrumentError("it was told to blank, and reads back not blanked")
        return ""

    def _settle(self, outcome: Blanked) -> None:
        with self._lock:
            self._settled = outcome.number
            self._since = time.monotonic()
        self._tell(outcome)

    def _check(self) -> None:
        """Look whether the connection lives; open it again if not."""
        if self._connection is None:
            return
        try:
            self._connection.open()
            self._connection.read()
            self._lost = ""
        except InstrumentError as error:
            self._connection.close()
            if str(error) != self._lost:
                self._lost = str(error)
                self._tell(Note(f"the connection for blanking is not there: {error}"))

    def _tell(self, news: Blanked | Failed | Note) -> None:
        for post in self._posts:
            post.put(news)
