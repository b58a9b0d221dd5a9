"""The `temscript` control adapter: Thermo Fisher (FEI) microscopes by their scripting.

It speaks to ``temscript-server`` (PyPI temscript, version 2) on the microscope's
computer, through a tunnel: its HTTP has neither keys nor a password. The server hands
on what it is given, NaN and kilometres too, and its null microscope clips a stage
position silently; so limits are looked at before, and everything is read back after.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from scopeside.control.instrument import Call, Readback
from scopeside.errors import InstrumentError
from scopeside_adapters.microscope.asked import fields_of
from scopeside_adapters.microscope.temscript.commands import Commands, offered
from scopeside_adapters.microscope.temscript.parameters import TemscriptParams
from scopeside_adapters.microscope.temscript.reading import Reading
from scopeside_adapters.microscope.temscript.server import TemscriptServer

OLDEST = 2
"""Version of temscript whose routes these are."""


class Temscript:
    """One connection to a temscript server.

    The server does one request after another, whoever asks: a blank on a connection of
    its own waits until a stage has arrived, or a camera has been read out.
    """

    Params: ClassVar[type[BaseModel]] = TemscriptParams

    def __init__(self, params: TemscriptParams) -> None:
        self._params = params
        self._server: TemscriptServer | None = None

    @property
    def actions(self) -> frozenset[str]:
        """Shifts, stage, blank; defocus and magnification if they were measured."""
        return offered(self._params)

    def check(self) -> list[str]:
        """Return why it could not be commanded."""
        trial = Temscript(self._params)
        try:
            trial.open()
        except InstrumentError as error:
            return [f"{error}."]
        finally:
            trial.close()
        return []

    def open(self) -> None:
        """See whether a server of the right version is there."""
        self.close()
        server = TemscriptServer(self._params.host, self._params.port)
        try:
            version = server.word("version", self._params.answer_s)
            major = version.partition(".")[0]
            if not major.isdecimal() or int(major) < OLDEST:
                raise InstrumentError(
                    f"{server.name} is of version {version!r}; {OLDEST}.0 or later is "
                    "needed"
                )
        except InstrumentError:
            server.close()
            raise
        self._server = server

    def close(self) -> None:
        """Disconnect."""
        if self._server is not None:
            self._server.close()
        self._server = None

    def read(self) -> Readback:
        """Ask what the microscope is set to, one thing after another."""
        server = self._connected()
        t_ns = time.time_ns()
        return Readback(t_ns, Reading(server, self._params).everything())

    def act(self, call: Call) -> Mapping[str, Any]:
        """Carry out one action, read back, and return what was read.

        Raises
        ------
        InstrumentError
            If what is read back is not what was asked for, among others.
        """
        server = self._connected()
        fields = fields_of(call, self.actions, server.name)
        return Commands(server, self._params).carry_out(call.action, fields)

    def _connected(self) -> TemscriptServer:
        if self._server is None:
            raise InstrumentError(
                f"the temscript server at {self._params.host}:{self._params.port} is "
                "not connected"
            )
        return self._server
