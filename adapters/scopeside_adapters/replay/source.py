"""The `replay` detector: a recorded run, as its detector once sent it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink
from scopeside.errors import ConfigError, RunError
from scopeside.ledger import FrameRanges
from scopeside.params import LocalPath, Params
from scopeside.replay.part import Part, checked, part_of
from scopeside.runs.run import Run
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.replay.pace import RecordedPace, factor_of
from scopeside_adapters.replay.playing import Playing


def _checked_pace(pace: str) -> str:
    factor_of(pace)
    return pace


Place = Annotated[float | str | None, AfterValidator(checked)]


class ReplayParams(Params):
    """``[detector] kind = "replay"``."""

    path: LocalPath
    """The folder of a recorded run."""
    pace: Annotated[str, AfterValidator(_checked_pace)] = "real"
    """real: by the time stamps; max: as fast as the chains take them; or a factor,
    such as "2x"."""
    since: Place = None
    """Begin so many s after the first frame, or at "event:N"; absent: at the first."""
    until: Place = None
    """End so many s after the first frame, or at "event:N"; absent: at the last."""
    script: Literal["none", "changes", "all"] = "none"
    """What else is as recorded. changes: those of parameters, each at its frame; all:
    also which frames each chain gets."""


class ReplayDetector:
    """Delivers the batches of a recording: same order, same boundaries, same times."""

    Params: ClassVar[type[ReplayParams]] = ReplayParams
    resumes = False  # a new process would begin the recording again

    def __init__(
        self,
        params: ReplayParams,
        settings: AcquisitionSettings,  # noqa: ARG002 - the recording says all
    ) -> None:
        self._params = params

    def check(self) -> list[str]:
        """Return why the recording cannot be played, if it cannot."""
        try:
            with Run(self._params.path) as run:
                run.acquisition  # noqa: B018 - it is read, and may be none
                self._part(run)
        except (RunError, ConfigError) as error:
            return [f"{self._params.path}: {error}"]
        return []

    def preview(self) -> Acquisition:
        """Return the acquisition that was recorded."""
        with Run(self._params.path) as run:
            return run.acquisition

    def frames_of(self, chain: str) -> FrameRanges | None:
        """Return the frames that a chain has processed, where it shall get those."""
        if self._params.script != "all":
            return None
        with Run(self._params.path) as run:
            processed: dict[str, Any] = run.manifest.get("processed", {})
            runs = processed.get(chain)
        return None if runs is None else FrameRanges((a, b) for a, b in runs)

    def run(self, sink: Sink) -> None:
        """Play the recording once."""
        params = self._params
        with Run(params.path) as run:
            pace = RecordedPace(factor_of(params.pace))
            changes = params.script != "none"
            Playing(run, self._part(run), sink, pace, changes=changes).play()

    def _part(self, run: Run) -> Part:
        asked = self._params
        events = [begins_ns for begins_ns, *_ in run.events]
        return part_of(run.batch_entries, events, asked.since, asked.until)
