"""hold_still and go_to_event at one microscope: the one does not fight the other."""

from __future__ import annotations

import numpy as np
from tests.processors.desk import FRAME_NS, NM, SIDE, acquisition, drift

from scopeside.control.policy import Outcome, Seen
from scopeside.control.timeline import Timeline
from scopeside.result import Result
from scopeside_processors.policies.go_to_event import GoToEvent, GoToEventParams
from scopeside_processors.policies.hold_still import HoldStill, HoldStillParams

LATE = 2
EVENT_NM = np.array([-30.0, 40.0])
"""Where on the specimen something happens, from its middle in frame 0."""


def played(frames, *, event_in):
    """Return (frames, 2) where in the picture the event lies, nm from its middle.

    The specimen drifts by (0.3, -0.2) nm a frame; results come two frames late; a
    command takes effect before the next frame.
    """
    hold = HoldStill(HoldStillParams())
    go = GoToEvent(GoToEventParams(stay_s=3.0))
    policies, about = (hold, go), acquisition()
    timeline, view = Timeline(), np.zeros(2)
    waiting, seen_at = [], []
    for policy in policies:
        policy.begin(about)
    _read(timeline, 0, view)
    for frame in range(frames):
        specimen = frame * np.array([0.3, -0.2])
        lies = EVENT_NM + specimen - view
        seen_at.append(lies)
        results = [("drift", drift(specimen - view, frame))]
        if frame == event_in:
            results.append(("nucleation", _event(lies, frame)))
        waiting.append(results)
        if frame < LATE:
            continue
        for processor, result in waiting.pop(0):
            t_ns = (result.frame + 1) * FRAME_NS
            told = Seen(about, 0, "c", processor, result, t_ns)
            for policy in policies:
                if f"{processor}.{result.name}" not in policy.wants:
                    continue
                for wish in policy.hear(told, timeline):
                    y, x = wish.fields["y_m"] / NM, wish.fields["x_m"] / NM
                    view = np.array([y, x])
                    _read(timeline, (frame + 1) * FRAME_NS + 1000, view)
                    policy.told(Outcome(wish, "done"))
    return np.array(seen_at)


def _read(timeline, t_ns, view):
    y, x = (view * NM).tolist()
    timeline.take(t_ns, {"view_offset_y_m": y, "view_offset_x_m": x})


def _event(lies, frame):
    y, x = lies + (SIDE - 1) / 2
    data = {"id": 1, "status": "confirmed", "confidence": 0.95, "y": y, "x": x}
    return Result("nucleation", data, "event", frame=frame)


def test_an_event_is_gone_to_held_there_and_left_for_the_place_before():
    lies = played(140, event_in=40)
    assert np.hypot(*(lies[30:42] - EVENT_NM).T).max() < 1  # held before
    assert np.hypot(*lies[46:70].T).max() < 2  # in the middle, and held there
    assert np.hypot(*(lies[90:] - EVENT_NM).T).max() < 3  # where it was before
    assert np.ptp(lies[100:], axis=0).max() < 0.2  # and held again
