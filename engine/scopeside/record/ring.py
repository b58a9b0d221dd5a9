"""How much the ring of ``mode = "on_event"`` holds, before and while it runs."""

from __future__ import annotations

from scopeside.acquisition import Acquisition
from scopeside.record.settings import RecordSettings


def holds_words(settings: RecordSettings, bytes_per_s: float) -> str:
    """Return a sentence if the ring is too small for such a stream, else nothing."""
    if bytes_per_s <= 0:
        return ""
    holds_s = (settings.spool_mib << 20) / bytes_per_s
    needs_s = settings.before_s + settings.late_s
    if holds_s >= needs_s:
        return ""
    needed = -(-int(needs_s * bytes_per_s) // (1 << 20))
    held_s = max(0.0, holds_s - settings.late_s)
    return (
        f"at {bytes_per_s / 1e6:.4g} MB/s record.spool_mib = {settings.spool_mib} "
        f"holds {holds_s:.3g} s of frames, before_s + late_s are {needs_s:g} s: of "
        f"before_s = {settings.before_s:g} s before an event it keeps {held_s:.3g} s; "
        f"{needed} MiB would hold it"
    )


def ring_warning(settings: RecordSettings, acquisition: Acquisition) -> str:
    """Return a sentence if it is known that the ring is too small, else nothing.

    The rate is that of frames pixel by pixel; what comes packed is smaller.
    """
    frame_s = acquisition.calibration.get("frame_time_s")
    if settings.mode != "on_event" or not isinstance(frame_s, int | float):
        return ""
    if frame_s <= 0 or acquisition.encoding == "events":
        return ""
    return holds_words(settings, acquisition.frame_bytes / frame_s)
