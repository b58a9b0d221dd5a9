"""A user's own network as a second source of candidates for nuclei.

What it points at is followed and verified like what the evidence points at.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside_processors.insitu.evidence import Proposal
from scopeside_processors.insitu.onnx_model import ModelParams
from scopeside_processors.insitu.proposals import ModelProposals
from scopeside_processors.insitu.running_mean import RunningMean
from scopeside_processors.insitu.stabilise import Drift

Array = npt.NDArray[Any]


class StageParams(ModelParams):
    """Which network, and what it is shown."""

    average_frames: Annotated[int, Field(ge=1, le=256)] = 8
    """It sees the mean of so many frames along the drift; 1: each frame alone."""
    every: Annotated[int, Field(ge=1)] = 4
    """It is asked with every so-manieth usable frame."""


class ModelStage:
    """Asks the network every so often.

    Raises
    ------
    MissingExtraError, ConfigError
        As `OnnxModel`.
    """

    def __init__(self, params: StageParams, shape: tuple[int, int]) -> None:
        self._params = params
        self._network = ModelProposals(params)
        # A recursive mean of time constant m has the noise of 2 m - 1 frames.
        self._mean = RunningMean(shape, (params.average_frames + 1) // 2)
        self._segment = 0
        self._seen = 0

    def take(self, frame: Array, drift: Drift, number: int) -> list[Proposal]:
        """Return what the network points at in frame `number`, on the specimen."""
        if drift.segment != self._segment:
            self._mean.forget()
            self._segment = drift.segment
        place = drift.dy, drift.dx
        if self._params.average_frames > 1:
            self._mean.take(frame, place)
        self._seen += 1
        if self._seen % self._params.every:
            return []
        if self._params.average_frames > 1:
            view = self._mean.seen_from(place, frame).mean
            frame = np.where(np.isfinite(view), view, frame)
        return [
            Proposal(
                y - drift.dy,
                x - drift.dx,
                radius,
                score / self._params.score,
                float(number - self._params.every),
            )
            for y, x, radius, score in self._network.take(frame)
        ]

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "mean": self._mean.state(),
            "segment": self._segment,
            "seen": self._seen,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._mean.take_over(state["mean"])
        self._segment, self._seen = state["segment"], state["seen"]
