"""Live results of a running engine, as numpy arrays.

::

    for result in scopeside.subscribe():
        print(result.name, result.data)
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import zmq

from scopeside import patch, runfolder
from scopeside.collect.paced import MARK as PACED
from scopeside.errors import ConfigError, ProtocolError
from scopeside.publication import VERSION, from_header
from scopeside.result import Result
from scopeside.security.bulk import way_to
from scopeside.strangers import from_msgpack

_HWM = 256
_POLL_S = 0.25
_MOST_TOPICS = 4096
_MOST_WHOLES = 64
"""Results that are kept, so that patches can be made into whole ones."""


def subscribe(
    endpoint: str | None = None,
    topic: str = "",
    timeout: float | None = None,
    *,
    keys: Path | str | None = None,
    paced: bool = False,
) -> Subscription:
    """Return an iterator over the results of an engine; it begins with the last ones.

    Parameters
    ----------
    endpoint
        Such as ``tcp://127.0.0.1:8766``. None: the engine of yours that was started
        last on this machine; the iteration then ends when that engine has ended.
    topic
        Only topics that begin so: ``acquisition/processor/name``.
    timeout
        The iteration ends when no result has come for so long, s. None: never.
    keys
        The file ``NAME.key_secret`` of ``scopeside keys new NAME --role observe``;
        another machine's results need it.
    paced
        For who looks at them: each result ten times a second at most, events all. It
        spares the engine what nobody would see.

    Raises
    ------
    EngineNotFoundError
        If `endpoint` is None and no engine runs.
    ConfigError
        If `endpoint` is no address, or of another machine and there are no keys.
    """
    if keys is not None and endpoint is None:
        raise ConfigError("keys go with an endpoint, such as 'tcp://192.168.1.5:8768'")
    folder = None
    if endpoint is None:
        folder = runfolder.the_running()
        endpoint = f"ipc://{folder}/results"
    return Subscription(endpoint, topic, timeout, folder, keys, paced=paced)


class Subscription(Iterator[Result]):
    """Results as they are published; close it, or use it in a ``with``.

    What a `Result` stands on is in its fields; who published it is in its ``meta``:
    ``acq``, ``chain``, ``processor``, ``seq``, ``final``, ``t_frame_ns``,
    ``t_published_ns``, and ``channels`` where the pipeline has some: by name the
    ``value``, ``t_ns``, ``unit`` and ``age_s`` of the sample at ``t_frame_ns``.

    Attributes
    ----------
    heard
        Results that got here.
    missed
        Results that were published and did not get here, as far as those that did
        tell: a subscriber that is too slow misses some. The next result of the same
        name stands on their frames as well.
    """

    def __init__(
        self,
        endpoint: str,
        topic: str,
        timeout: float | None,
        folder: Path | None,
        keys: Path | str | None = None,
        *,
        paced: bool = False,
    ) -> None:
        self.endpoint, passport = way_to(endpoint, keys)
        self.missed = 0
        self.heard = 0
        self._timeout = timeout
        self._folder = folder
        self._last: dict[tuple[str, bytes], tuple[str, int]] = {}
        self._wholes: dict[tuple[str, bytes], patch.Whole] = {}
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = context.socket(zmq.SUB)
        self._socket.rcvhwm = _HWM
        self._socket.setsockopt(zmq.IPV6, "[" in endpoint)
        marks = (PACED,) if paced else (b"", patch.MARK)
        self._mark = marks[0]
        for mark in marks:
            self._socket.subscribe(mark + topic.encode())
        # Also when it is dropped in the middle of a loop, or by Ctrl-C.
        self._close = weakref.finalize(self, context.destroy, linger=0)
        self._refusals: Any = None
        if passport is not None:
            passport.put_on(self._socket)
            self._refusals = self._socket.get_monitor_socket(
                zmq.EVENT_HANDSHAKE_FAILED_AUTH
            )
        try:
            self._socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(
                f"cannot subscribe to {endpoint!r}: {error.strerror}; an endpoint is "
                "such as 'tcp://127.0.0.1:8766'"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def engine_has_ended(self) -> bool:
        """Whether the engine has ended; not known if it was given by its address."""
        return self._folder is not None and self._folder not in runfolder.running()

    def __next__(self) -> Result:
        """Wait for the next result.

        Raises
        ------
        ProtocolError
            If what came is no result.
        ConfigError
            If the engine does not let this program in.
        """
        began = time.monotonic()
        while self._close.alive:
            wait_s = _POLL_S
            if self._timeout is not None:
                wait_s = min(wait_s, began + self._timeout - time.monotonic())
            if self._socket.poll(max(0, int(wait_s * 1000))):
                result = self._take(self._socket.recv_multipart())
                if result is not None:
                    return result
                continue  # a patch of what did not get here
            if self._refusals is not None and self._refusals.poll(0):
                raise ConfigError(
                    f"{self.endpoint} does not let this key in: it is not, or no "
                    "longer, in the key folder of the engine with the role observe"
                )
            if wait_s < _POLL_S or self.engine_has_ended:
                break
        raise StopIteration

    def close(self) -> None:
        """Listen no more; the iteration ends."""
        self._close()

    # ---------------------------------------------------------------------------

    def _take(self, parts: list[bytes]) -> Result | None:
        header = _header(parts)
        if parts[0].startswith(patch.MARK):
            return self._take_patch(parts[0][len(patch.MARK) :], header, parts[2:])
        if parts[0].startswith(PACED) != (self._mark == PACED):
            return None  # who asks for everything gets those of others, too
        result = from_header(header, parts[2:])
        self.heard += 1
        self._count_missed(parts[0], header)
        key = (str(header.get("chain")), parts[0])
        self._wholes.pop(key, None)
        patched = self._mark != PACED and isinstance(result.data, np.ndarray)
        if patched and result.data.nbytes >= patch.SMALLEST:
            run, seq = str(header.get("run")), header.get("seq", -1)
            self._wholes[key] = patch.Whole(run, seq, 0, result)
            if len(self._wholes) > _MOST_WHOLES:
                del self._wholes[next(iter(self._wholes))]
        return result

    def _take_patch(
        self, topic: bytes, header: dict[str, Any], payload: list[bytes]
    ) -> Result | None:
        """Return the whole result; None if one before this patch is lacking."""
        key = (str(header.get("chain")), topic)
        whole = self._wholes.get(key)
        said = (header.get("run"), header.get("seq"), header.get("number"))
        if whole is None or said != (whole.run, whole.seq, whole.patches + 1):
            # The next whole one comes within a fraction of a second.
            self._wholes.pop(key, None)
            self.missed += 1
            return None
        whole = self._wholes[key] = whole.patched(header, payload)
        self.heard += 1
        return whole.result

    def _count_missed(self, topic: bytes, header: dict[str, Any]) -> None:
        run, number = str(header.get("run")), header.get("seq")
        if type(number) is not int:
            return
        key = (str(header.get("chain")), topic)
        last_run, last = self._last.pop(key, (run, number - 1))
        if run == last_run:  # a collector that was restarted counts anew
            self.missed += max(0, number - last - 1)
        self._last[key] = (run, number)
        if len(self._last) > _MOST_TOPICS:
            del self._last[next(iter(self._last))]


def _header(parts: list[bytes]) -> dict[str, Any]:
    try:
        header = from_msgpack(parts[1])
        version = header["v"]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ProtocolError(
            f"this is no result: {type(error).__name__}: {error}", cause="wrong_header"
        ) from error
    if version != VERSION:
        raise ProtocolError(
            f"this is version {VERSION} of the results wire, got version {version!r}",
            cause="wrong_version",
        )
    assert isinstance(header, dict)  # it has a version by name
    return header
