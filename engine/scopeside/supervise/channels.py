"""How the channels are, as plain values: what the status and the report say of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from scopeside.pipeline import Channel
from scopeside.settings import ChannelSettings
from scopeside.supervise.books import Books
from scopeside.supervise.member import Member, State


def channel_status(
    channels: tuple[Channel, ...], members: Mapping[str, Member], books: Books
) -> dict[str, dict[str, Any]]:
    """Return the state of each channel; see docs/status.md for the keys."""
    if not channels:
        return {}
    process = members["channels"]
    said = process.board.read().get("channels", {})
    samples = members["collector"].board.read().get("samples", {})
    found = {}
    for channel in channels:
        one = channel.settings
        feed = said.get(one.name, {})
        t_ns, value = feed.get("last") or (None, None)
        state, reason = _state(one, process, feed)
        found[one.name] = {
            "kind": one.kind,
            "unit": one.unit,
            "state": state,
            "reason": reason,
            "value": value,
            "t_ns": t_ns,
            "age_s": None if t_ns is None else round((time.time_ns() - t_ns) / 1e9, 3),
            "samples": samples.get(one.name, 0),
            "rejected": feed.get("rejected", {}),
            **books.channels.get(one.name, {"joined": 0, "without_sample": 0}),
        }
    return found


def lost_channels(
    channels: tuple[Channel, ...], status: Mapping[str, dict[str, Any]]
) -> list[str]:
    """Return in words which of the required channels the run has lost."""
    lost = []
    for channel in channels:
        one, now = channel.settings, status[channel.settings.name]
        if one.required and (now["state"] == "lost" or not now["samples"]):
            why = now["reason"] or "not one sample came"
            lost.append(f"channel {one.name} is required and lost: {why}")
    return lost


def _state(
    one: ChannelSettings, process: Member, feed: Mapping[str, Any]
) -> tuple[str, str]:
    if process.state is State.DEGRADED:
        return "lost", "its process could not be kept alive"
    if feed.get("state", "ok") != "ok":
        return str(feed["state"]), str(feed["reason"])
    arrived_ns = feed.get("arrived_ns", 0)
    if not arrived_ns:
        return "silent", "no sample yet"
    quiet_s = (time.monotonic_ns() - arrived_ns) / 1e9
    if process.alive and quiet_s > one.silent_after_s:
        return "silent", f"no sample for {quiet_s:.1f} s"
    return "ok", ""
