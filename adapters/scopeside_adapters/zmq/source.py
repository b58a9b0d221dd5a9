"""The `zmq` detector: any program pushes frames on the public frame wire."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from scopeside.detector import Sink
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.endpoint import (
    Border,
    check_endpoint,
    key_problem,
    problem_with,
)
from scopeside_adapters.zmq.intake import Intake
from scopeside_adapters.zmq.receiver import Receiver


class ZmqParams(Border):
    """``[detector] kind = "zmq"``."""

    bind: Annotated[str, AfterValidator(check_endpoint)] = "tcp://127.0.0.1:5555"
    """Where producers connect: tcp://ADDRESS:PORT or ipc://PATH."""
    rcvhwm: int = Field(64, ge=1, le=100_000)
    """Messages that wait here before the producer is made to wait."""
    max_message_mib: int = Field(128, ge=1, le=4096)
    """Largest part of a message, MiB; larger ones are refused before they are stored,
    by closing the link."""
    silence_s: float = Field(30.0, gt=0)
    """An open acquisition of which nothing is heard for so long has failed, s."""

    @property
    def plaintext_note(self) -> str:
        """What is to be told as long as it is open; empty if it is not."""
        return self.note("frames", self.bind)

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        self.check_border("bind", self.bind)
        return self


class ZmqDetector:
    """Delivers the acquisitions that producers push, one after another."""

    Params: ClassVar[type[ZmqParams]] = ZmqParams
    resumes = True
    """After a crash of the adapter the next acquisition can be taken."""

    def __init__(
        self,
        params: ZmqParams,
        settings: AcquisitionSettings,  # noqa: ARG002 - START says all, the sink adds
    ) -> None:
        self._params = params

    def check(self) -> list[str]:
        """Return why `bind` cannot be listened at, or the keys not be used."""
        params = self._params
        problem = problem_with(params.bind)
        return [
            *([f"bind: {params.bind}: {problem}"] if problem else []),
            *key_problem(params.keys),
        ]

    def run(self, sink: Sink) -> None:
        """Take acquisitions until the engine is asked to end."""
        params = self._params
        with Receiver(
            params.bind,
            rcvhwm=params.rcvhwm,
            largest_part=params.max_message_mib << 20,
            keys=params.keys,
        ) as receiver:
            if note := params.note("frames", receiver.endpoint):
                sink.note(note)
            sink.note(f"waiting for frames at {receiver.endpoint}")
            Intake(receiver, sink, params.silence_s).run()
