"""``scopeside calibrate shift``: measure how content moves with a shifter or the stage.

The engine runs, with a processor ``drift`` in one of its chains; its guard makes every
move. What is computed is in `scopeside.control.shift_fit`.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.control import asking
from scopeside.control.calibration import ACTIONS, Calibration, state_of
from scopeside.control.frame_place import pixel_size_m
from scopeside.control.settings import ActionLimits, ControlSettings
from scopeside.control.shift_fit import ShiftFit, fit, objections
from scopeside.control.shift_measure import Measurement
from scopeside.control.shift_plan import check, star, step_for
from scopeside.errors import ConfigError, EngineError, RefusedError
from scopeside.inquiry import ask
from scopeside.pipeline import Pipeline
from scopeside.result import Result
from scopeside.subscribe import Subscription, subscribe

PATIENCE_S = 30.0
"""So long an answer of the guard, or a frame that shows the content, is waited for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for; None: what the pipeline file suggests."""

    actuator: str | None
    step_m: float | None
    repeats: int
    frames: int
    settle_s: float | None
    to: Path | None


class Guard:
    """The guard of a running engine, asked by a person."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def status(self) -> Mapping[str, Any]:
        """Return what the guard says of itself."""
        return asking.status(self._folder)

    def do(self, action: str, fields: Mapping[str, float]) -> None:
        """Have an action done, and wait until it is.

        Raises
        ------
        RefusedError
            If the guard refuses it, or the instrument has not done it.
        """
        name = f"calibrate-{uuid.uuid4().hex}"
        request = {"ask": "do", "id": name, "action": action, "fields": dict(fields)}
        answer = asking.ask(self._folder, request, PATIENCE_S)
        if not answer.ok or answer.state != "done":
            cause = answer.cause or answer.state or "silent"
            reason = answer.reason or f"it was {answer.state or 'not answered'}"
            raise RefusedError(f"{action}: {reason}", cause)


def calibrate_command(asked: Asked, path: Path | None, run: Path | None) -> int:
    """Measure, print and write a calibration; returns the exit code."""
    folder = asking.the_guarded(run)
    engine = ask(folder)
    pipeline = Pipeline.load(path or Path(engine["pipeline"]))
    if pipeline.control is None:
        raise ConfigError(f"{pipeline.source} has no [control]: there is no guard")
    settings = pipeline.control.settings
    actuator = _actuator(asked, settings)
    target = _target(asked, settings, actuator, pipeline.folder)
    guard = Guard(folder)
    _check_mode(guard.status())
    with subscribe(f"ipc://{folder}/results", timeout=PATIENCE_S) as results:
        drift = _drift_of(results, pipeline)
        acquisition = _acquisition(drift, folder)
        measurement = _measurement(asked, settings, guard, drift, actuator)
        readback = measurement.readback()
        pixel = pixel_size_m(acquisition, readback)
        if pixel is None:
            raise ConfigError(
                "the size of a pixel is not known: put pixel_size_m into "
                "[acquisition.calibration]"
            )
        measurement.pixel_m = pixel
        limits = _limits(settings, actuator)
        field_m = min(
            n * p for n, p in zip(acquisition.frame_shape, pixel, strict=True)
        )
        step_m = asked.step_m or step_for(limits, field_m)
        places = star(measurement.place(), step_m, asked.repeats)
        check(places, step_m, limits)
        print(f"{actuator}: {len(places)} places, {step_m:.3g} m apart")
        found = fit(measurement.run(places), step_m)
    return _conclude(
        found, step_m, actuator, state_of(actuator, readback), settings, target
    )


def _conclude(
    found: ShiftFit | None,
    step_m: float,
    actuator: str,
    state: Mapping[str, float | str],
    settings: ControlSettings,
    target: Path,
) -> int:
    if found is not None:
        print("\n".join(words(found, step_m)))
    if against := objections(found, step_m):
        for sentence in against:
            print(f"not good enough: {sentence}")
        print("nothing was written")
        return 1
    assert found is not None  # or there would be objections
    (xx, xy), (yx, yy) = found.matrix.tolist()
    Calibration(
        actuator=actuator,
        matrix=((xx, xy), (yx, yy)),
        covariance=found.covariance.tolist(),
        state=state,
        measured_on=datetime.now(UTC),
        instrument=str((settings.adapter or {}).get("kind")),
        step_m=step_m,
        residual_m=found.residual_m,
        visits=found.visits,
    ).save(target)
    said = ", ".join(f"{key} = {value}" for key, value in state.items())
    print(
        f"written: {target}; valid for {said or 'any state: the instrument says none'}"
    )
    return 0


def words(found: ShiftFit, step_m: float) -> list[str]:
    """Return what was found, in lines for a person."""
    (xx, xy), (yx, yy) = found.matrix.tolist()
    sigma = [math.sqrt(v) for v in found.covariance.diagonal().tolist()]
    large, small = found.scales
    drift = 1e9 * found.drift_m_per_s
    return [
        "matrix (content, m along the picture's x and y, per m of the actuator):",
        f"  x: {xx:+.5f} ± {sigma[0]:.5f}  {xy:+.5f} ± {sigma[1]:.5f}",
        f"  y: {yx:+.5f} ± {sigma[2]:.5f}  {yy:+.5f} ± {sigma[3]:.5f}",
        f"rotation {math.degrees(found.rotation_rad):+.2f}° ± "
        f"{math.degrees(found.rotation_sigma_rad):.2f}°"
        + (", mirrored" if found.mirrored else ""),
        f"scale {small:.5g} to {large:.5g}, uncertain by {found.relative_sigma:.2%}",
        f"residuals {found.residual_m:.3g} m rms of steps of {small * step_m:.3g} m; "
        f"drift ({drift[0]:+.3g}, {drift[1]:+.3g}) nm/s taken out",
    ]


def _measurement(
    asked: Asked,
    settings: ControlSettings,
    guard: Guard,
    drift: Iterator[Result],
    actuator: str,
) -> Measurement:
    stage = settings.view.stage if settings.view else None
    settle_s = settings.settle_ms / 1e3
    if actuator == "stage" and stage is not None:
        settle_s = max(settle_s, stage.settle_s)
    return Measurement(
        guard=guard,
        results=drift,
        actuator=actuator,
        pixel_m=(math.nan, math.nan),
        frames=asked.frames,
        settle_s=settle_s if asked.settle_s is None else asked.settle_s,
        every_s=_limits(settings, actuator).every_s,
        patience_s=PATIENCE_S,
        say=print,
    )


def _actuator(asked: Asked, settings: ControlSettings) -> str:
    view = settings.view
    if asked.actuator is not None:
        return asked.actuator
    if view is not None and view.shifter is not None:
        return view.shifter.by
    return "image_shift" if view is None else "stage"


def _target(
    asked: Asked, settings: ControlSettings, actuator: str, folder: Path
) -> Path:
    if asked.to is not None:
        return asked.to
    view = settings.view
    shifter, stage = (None, None) if view is None else (view.shifter, view.stage)
    if shifter is not None and shifter.by == actuator:
        return shifter.calibration[0]
    if stage is not None and actuator == "stage":
        return stage.calibration[0]
    return folder / f"{actuator}.json"


def _limits(settings: ControlSettings, actuator: str) -> ActionLimits:
    action = ACTIONS[actuator]
    if action not in settings.limits:
        raise ConfigError(
            f"[control.limits.{action}] is missing: without limits nothing is moved"
        )
    return settings.limits[action]


def _check_mode(status: Mapping[str, Any]) -> None:
    mode = status.get("mode")
    if mode == "armed":
        raise RefusedError(
            "the guard is armed, and policies would move the picture too: scopeside "
            "advise first",
            "busy",
        )
    if mode == "observe":
        raise RefusedError("in mode observe nothing is moved", "observe_only")


def _drift_of(results: Subscription, pipeline: Pipeline) -> Iterator[Result]:
    """Return the drift results of the first processor of that kind."""
    of = [
        (chain.name, step.name)
        for chain in pipeline.chains
        for step in chain.steps
        if step.kind == "drift"
    ]
    if not of:
        raise ConfigError(
            f"{pipeline.source} has no processor 'drift', which has to say where the "
            "content is"
        )
    return (
        result
        for result in results
        if result.name == "drift"
        and (result.meta.get("chain"), result.meta.get("processor")) == of[0]
    )


def _acquisition(drift: Iterator[Result], folder: Path) -> Acquisition:
    """Return the acquisition under way that drift comes of.

    The first results may be the last ones of an acquisition that is over.
    """
    over = set()
    for result in drift:
        name = str(result.meta.get("acq"))
        if name in over:
            continue
        found = ask(folder)["open"].get(name)
        if found is not None:
            return Acquisition.from_dict(found["acquisition"])
        over.add(name)
    raise EngineError(
        f"no drift came within {PATIENCE_S:g} s: an acquisition has to be under way"
    )
