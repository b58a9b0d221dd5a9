"""The simulated microscope as a detector."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink, Slot, StopRequested
from scopeside.errors import SourceError
from scopeside.scan import IntArray, Scan
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.simulator.control import ControlServer
from scopeside_adapters.simulator.microscope import Microscope, Value
from scopeside_adapters.simulator.movie import Movie
from scopeside_adapters.simulator.parameters import SimulatorParams, initial_state
from scopeside_adapters.simulator.scan4d import Scan4D
from scopeside_adapters.simulator.schedule import Schedule
from scopeside_adapters.simulator.state import State

NAP_S = 0.02  # how long a stop may go unnoticed


class SimulatorDetector:
    """Delivers simulated acquisitions, and lets the microscope be commanded meanwhile.

    Attributes
    ----------
    model
        What draws the frames and knows the truth: a `Scan4D` or a `Movie`.
    microscope
        The instrument, in its initial state until it is commanded.
    """

    Params: ClassVar[type[BaseModel]] = SimulatorParams

    def __init__(self, params: SimulatorParams, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings
        nominal = initial_state(params, settings)
        longest = 1 / params.fps if params.fps else math.inf
        # A frame at 3 Hz may be exposed for 1/3 s whatever the last digit says.
        self.microscope = Microscope(
            nominal,
            longest_exposure_s=longest * (1 + 1e-9),
            scans=params.mode == "scan4d",
            optics=_optics(params),
            aspect=_aspect(params, settings),
        )
        self.model: Scan4D | Movie = _model(params, settings, nominal)

    @property
    def resumes(self) -> bool:
        """Whether a new process may go on where this one died: if it never ends."""
        return self._params.acquisitions == 0

    def check(self) -> list[str]:
        """Return what would go wrong, one sentence each."""
        problems = []
        if self._params.mode == "movie" and self._settings.kind == "scan4d":
            problems.append('acquisition.kind is "scan4d", but mode is "movie".')
        # Binding ipc would take it away from whoever listens there now.
        if self._params.control is not None and self._params.control.startswith("tcp"):
            try:
                with ControlServer(self.microscope, self._params.control):
                    pass
            except SourceError as error:
                problems.append(f"{error}.")
        return problems

    def acquisition(self, name: str) -> Acquisition:
        """Return the acquisition called `name`, with all that is known of it."""
        params, state = self._params, self.microscope.state
        scan = self.model.scan if isinstance(self.model, Scan4D) else None
        said = Acquisition(
            id=name,
            kind=params.mode,
            frame_shape=params.frame_shape,
            dtype=np.dtype(params.dtype),
            frames=params.frames if scan is None else scan.frames,
            scan=scan,
            calibration=_calibration(params, scan, state),
            detector=f"simulated microscope ({params.mode})",
            started_ns=time.time_ns(),
            metadata={
                "simulated": True,
                "seed": params.seed,
                "microscope": asdict(state),
            },
        )
        return self._settings.complete(said)

    def preview(self) -> Acquisition:
        """Return what will be simulated."""
        return self.acquisition("preview")

    def run(self, sink: Sink) -> None:
        """Deliver acquisitions to `sink`."""
        self.prepare()
        with ExitStack() as stack:
            if self._params.control is not None:
                server = ControlServer(
                    self.microscope,
                    self._params.control,
                    self._params.control_delay_ms,
                )
                stack.enter_context(server)
                sink.note(f"the microscope takes commands at {server.endpoint}")
            for _ in self._turns(sink):
                self._deliver(sink)

    def _turns(self, sink: Sink) -> Iterator[int]:
        """Count the acquisitions, with the pause between them."""
        turn = 0
        while True:
            yield turn
            turn += 1
            if turn == self._params.acquisitions:
                return
            until = time.monotonic() + self._params.pause_s
            while (left := until - time.monotonic()) > 0:
                _nap(left, sink)

    def _deliver(self, sink: Sink) -> None:
        acquisition = self.acquisition(sink.new_id())
        frames = acquisition.frames
        assert frames is not None  # a scan and a movie both know
        sink.start(acquisition)
        schedule = Schedule(self._params.fps)
        done = 0
        while done < frames:
            self._wait_for_frames(schedule, done, frames, sink)
            with sink.slot() as slot:
                n = schedule.due(done, min(slot.capacity, frames - done))
                self._fill(slot, done, schedule.timestamps_ns(done, n))
                slot.commit(n)
            done += n
        sink.end(total=frames)

    def _wait_for_frames(
        self, schedule: Schedule, done: int, frames: int, sink: Sink
    ) -> None:
        """Wait until a batch is due and the microscope is not paused."""
        while True:
            if self.microscope.state.paused:
                before = time.monotonic()
                _nap(NAP_S, sink)
                schedule.postpone(time.monotonic() - before)
            elif (left := schedule.wait_s(done, frames)) > 0:
                _nap(left, sink)
            else:
                return

    def _fill(self, slot: Slot, first: int, timestamp_ns: IntArray) -> None:
        """Draw each frame in the state that the microscope was in at its time."""
        n = len(timestamp_ns)
        index = np.arange(first, first + n)
        for a, b, state in self.microscope.states_at(timestamp_ns):
            self.model.render(index[a:b], slot.pixels[a:b], state)
        slot.index[:n] = index
        slot.timestamp_ns[:n] = timestamp_ns

    def prepare(self) -> None:
        """Compile what draws, lest the first frames be late by seconds."""
        out = np.empty((1, *self._params.frame_shape), self._params.dtype)
        self.model.render(np.zeros(1, np.int64), out, self.microscope.state)


def _aspect(params: SimulatorParams, settings: AcquisitionSettings) -> float:
    """Return height over width of the picture."""
    movie = params.mode == "movie"
    rows, columns = params.frame_shape if movie else (settings.scan or params.scan)
    return rows / columns


def _nap(seconds: float, sink: Sink) -> None:
    """Wait, but not long, and not when the engine is asked to end."""
    if sink.stopping:
        raise StopRequested
    time.sleep(min(seconds, NAP_S))


def _model(
    params: SimulatorParams, settings: AcquisitionSettings, nominal: State
) -> Scan4D | Movie:
    if params.mode == "scan4d":
        scan = settings.scan_of(params.scan)
        assert scan is not None  # params.scan has a default
        return Scan4D(
            params.scan4d,
            scan,
            params.frame_shape,
            electrons=params.electrons_per_frame,
            seed=params.seed,
            nominal=nominal,
        )
    scan = settings.scan_of()
    return Movie(
        params.movie,
        params.frames if scan is None else scan.frames,
        params.frame_shape,
        seed=params.seed,
        nominal=nominal,
    )


def _optics(params: SimulatorParams) -> dict[str, Value]:
    """Return what tells the optical states of a microscope apart, and never changes."""
    scans = params.mode == "scan4d"
    optics = params.scan4d if scans else params.movie
    return {
        "high_tension_V": optics.beam_energy_eV,
        "mode": "STEM" if scans else "TEM",
        "rotation_rad": 0.0,
    }


def _calibration(
    params: SimulatorParams, scan: Scan | None, state: State
) -> dict[str, Any]:
    """Return what is known of the frames."""
    height, width = params.frame_shape
    known: dict[str, Any] = {"exposure_s": state.exposure_s}
    if params.fps is not None:
        known["frame_time_s"] = 1 / params.fps
    if scan is None:
        pixel_size_m = state.fov_m / width
        return known | {
            "beam_energy_eV": params.movie.beam_energy_eV,
            "pixel_size_m": pixel_size_m,
            "counts_per_electron": 1.0,
            "dose_e_per_px": state.electrons_per_A2 * (pixel_size_m * 1e10) ** 2,
        }
    optics = params.scan4d
    step_A2 = (optics.scan_step_m * 1e10) ** 2  # noqa: N806 - Å
    return known | {
        "beam_energy_eV": optics.beam_energy_eV,
        "semi_angle_rad": optics.semi_angle_rad,
        "detector_rad_per_px": optics.semi_angle_rad / optics.semi_angle_px,
        "centre_px": [(height - 1) / 2, (width - 1) / 2],
        "scan_step_m": state.fov_m / scan.shape[1],
        "scan_rotation_rad": 0.0,
        "dose_e_per_frame": state.electrons_per_A2 * step_A2,
    }
