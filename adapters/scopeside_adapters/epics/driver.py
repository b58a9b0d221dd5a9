"""Starts acquisitions through the driver's own records, by PVAccess.

An IOC of EPICS 7 offers its records by PVAccess too (QSRV). Those of the areaDetector
driver (``…cam1:``) that are written: Acquire, ArrayCounter, ImageMode, NumImages,
AcquireTime.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, Literal, Self

from pydantic import Field

from scopeside.detector import StopRequested
from scopeside.errors import SourceError
from scopeside.params import Params
from scopeside_adapters.epics.channel import load

_LOOK_S = 0.002
_LAST_WORD_S = 1.0
"""At the end nobody waits longer for the driver to be stopped."""


class ArmParams(Params):
    """``[detector] arm``: acquisitions are started by us."""

    driver: str = Field(pattern=r"\S+")
    """Prefix of the driver's records, such as 13SIM1:cam1: (with the colon)."""
    image_mode: Literal["Single", "Multiple", "Continuous"] = "Multiple"
    """ImageMode; Multiple takes as many frames as the acquisition has."""
    acquisitions: int = Field(1, ge=0)
    """How many are started, one after another; 0: until the engine ends."""
    exposure_s: float | None = Field(None, gt=0)
    """AcquireTime, s; absent: as it is set."""


class Driver:
    """The records of one areaDetector driver.

    Parameters
    ----------
    stopping
        Whether the engine is asked to end; nothing is waited for then.
    """

    def __init__(
        self,
        params: ArmParams,
        stopping: Callable[[], bool],
        configuration: Mapping[str, str],
        *,
        environment: bool,
        timeout_s: float,
    ) -> None:
        self._params = params
        self._stopping = stopping
        self._timeout_s = timeout_s
        self._context = load().Context(
            "pva", conf=dict(configuration), useenv=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def arm(self, frames: int | None) -> None:
        """Have the driver take `frames` frames; the first has uniqueId 1.

        Raises
        ------
        SourceError
            If a record is not there or refuses.
        StopRequested
            If the engine is asked to end meanwhile.
        """
        self._put("Acquire", 0)
        self._put("ArrayCounter", 0)
        self._put("ImageMode", self._params.image_mode)
        if self._params.image_mode == "Multiple" and frames is not None:
            self._put("NumImages", frames)
        if self._params.exposure_s is not None:
            self._put("AcquireTime", self._params.exposure_s)
        self._put("Acquire", 1)

    def stop(self) -> None:
        """End the acquisition, whether or not the engine ends.

        Raises
        ------
        SourceError
            If the record is not there or refuses.
        """
        self._stopping = lambda: False
        self._timeout_s = min(self._timeout_s, _LAST_WORD_S)
        self._put("Acquire", 0)

    def find(self) -> None:
        """Ask for the record that starts the driver.

        Raises
        ------
        SourceError
            If it is not there.
        """
        self._ask("Acquire", self._context.get)

    def _put(self, record: str, value: Any) -> None:
        self._ask(record, lambda name, then: self._context.put(name, then, value))

    def _ask(
        self, record: str, begin: Callable[[str, Callable[[Any], None]], Any]
    ) -> None:
        """Begin an operation and wait for its end."""
        name = f"{self._params.driver}{record}"
        answers: SimpleQueue[Any] = SimpleQueue()
        operation = begin(name, answers.put)
        until = time.monotonic() + self._timeout_s
        try:
            while answers.empty():
                if self._stopping():
                    raise StopRequested
                if time.monotonic() > until:
                    raise SourceError(
                        f"no IOC answers for {name} within {self._timeout_s:g} s; is "
                        "arm.driver right, and does the IOC offer its records by "
                        "PVAccess (QSRV)?"
                    )
                time.sleep(_LOOK_S)
        finally:
            operation.close()
        if isinstance(answer := answers.get(), Exception):
            raise SourceError(f"{name}: {answer}") from answer
