"""A subscription to one channel: all that we ask of p4p to receive frames.

p4p says by a call from a thread of its own that something waits; the detector's thread
takes it. Nothing else happens in p4p's thread. The queue is the library's own, of
`queue` updates; while it is full the IOC puts the newest frame in place of the last,
which shows as a jump of ``uniqueId``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import numpy as np

from scopeside.errors import MissingExtraError, ProtocolError
from scopeside_adapters.epics.protocol import TYPE_ID, ArrayFields

_SHORTEST_RETRY_S = 1.0
_LONGEST_RETRY_S = 8.0
_STAMPS = ("dataTimeStamp", "timeStamp")


@dataclass(frozen=True, slots=True)
class Update:
    """What the channel holds now.

    Attributes
    ----------
    current
        It is what the channel held when we subscribed, perhaps long before.
    """

    fields: ArrayFields
    current: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The channel is not there any more; it is searched for again."""

    reason: str


def load() -> ModuleType:
    """Return p4p's client.

    Raises
    ------
    MissingExtraError
        If p4p is not installed.
    """
    try:
        import p4p  # noqa: PLC0415 - only where EPICS is used
        from p4p.client import raw  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the epics detector", "p4p", "epics") from error
    # It would write to the terminal whenever a link breaks; we say it in words.
    if "PVXS_LOG" not in os.environ:
        raw.set_debug("pvxs.*", p4p.logLevelOff)
    return raw  # type: ignore[no-any-return]  # it ships no types


class Channel:
    """Receives what the channel `pv` is updated with.

    Parameters
    ----------
    configuration
        ``EPICS_PVA_…`` variables to use.
    environment
        Whether those of this process count where `configuration` says nothing.
    queue
        Updates that wait here and, of the same number, in the IOC.
    """

    def __init__(
        self,
        pv: str,
        configuration: Mapping[str, str],
        *,
        environment: bool,
        queue: int,
    ) -> None:
        self.connected = False
        self._pv = pv
        self._raw = load()
        self._configuration = dict(configuration)
        self._environment = environment
        # All fields: EPICS' own server leaves the type's name out of a selection.
        # Without pipeline=true: with it, an IOC and p4p 4.3 wait for each other for
        # ever once the queue has been full.
        self._request = f"record[queueSize={queue}]field()"
        self._wake = threading.Event()
        self._attributes: dict[str, Any] = {}
        self._retry_s = _SHORTEST_RETRY_S
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def receive(self, wait_s: float) -> Update | Lost | None:
        """Return what comes next; None if nothing comes within `wait_s`.

        Raises
        ------
        ProtocolError
            If the channel holds something else than an NTNDArray.
        """
        found = self._subscription.pop()
        if found is None:
            if not self.connected and time.monotonic() > self._retry_at:
                self._search_again()
            self._wake.wait(wait_s)
            self._wake.clear()
            found = self._subscription.pop()
        if found is None:
            return None
        if isinstance(found, Exception):
            return self._lost(found)
        return self._update(found)

    def _update(self, value: Any) -> Update:
        current, self.connected = not self.connected, True
        self._retry_s = _SHORTEST_RETRY_S
        if not value.getID().startswith(TYPE_ID):
            raise ProtocolError(
                f"{self._pv} is {value.getID() or 'a structure'} and no image "
                "(NTNDArray); the channel of an areaDetector is called such as "
                "'13SIM1:Pva1:Image'",
                cause="wrong_type",
            )
        if current or value.changed("attribute"):
            self._attributes = _attributes(value)
        return Update(fields_of(value, self._attributes), current)

    def _lost(self, error: Exception) -> Lost:
        self.connected = False
        self._retry_at = time.monotonic() + self._retry_s
        if isinstance(error, self._raw.Disconnected):
            return Lost("the IOC closed the link or died")
        if isinstance(error, self._raw.Finished):
            return Lost("the IOC took the channel away")
        return Lost(f"the IOC refused the channel: {error}")

    def _search_again(self) -> None:
        """Ask anew: p4p itself would ask ever more rarely."""
        self._close()
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
        self._open()

    def _open(self) -> None:
        self._context = self._raw.Context(
            "pva", conf=self._configuration, useenv=self._environment, nt=False
        )
        self._subscription = self._context.monitor(
            self._pv, self._wake.set, request=self._request
        )
        self._retry_at = time.monotonic() + self._retry_s

    def _close(self) -> None:
        self._subscription.close()
        self._context.close()


def fields_of(value: Any, attributes: Mapping[str, Any]) -> ArrayFields:
    """Return the fields of a p4p value; what the IOC leaves out has its default.

    Raises
    ------
    ProtocolError
        If a field is of another type than an NTNDArray's.
    """
    try:
        array = value.get("value")
        if array is not None and not isinstance(array, np.ndarray):
            raise TypeError(f"value is {type(array).__name__}, no array of numbers")
        return ArrayFields(
            array,
            tuple(int(d["size"]) for d in value.get("dimension") or ()),
            int(value.get("uniqueId") or 0),
            str(value.get("codec.name") or ""),
            value.get("codec.parameters"),
            int(value.get("compressedSize") or 0),
            int(value.get("uncompressedSize") or 0),
            tuple(_stamp(value, name) for name in _STAMPS if name in value),
            attributes,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _ill_formed(error) from error


def _attributes(value: Any) -> dict[str, Any]:
    try:
        found = value.get("attribute") or ()
        return {str(a["name"]): a["value"] for a in found}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _ill_formed(error) from error


def _stamp(value: Any, name: str) -> tuple[int, int]:
    return int(value[f"{name}.secondsPastEpoch"]), int(value[f"{name}.nanoseconds"])


def _ill_formed(error: Exception) -> ProtocolError:
    return ProtocolError(
        f"an NTNDArray that lacks a field, or has one of another type: {error}",
        cause="wrong_header",
    )
