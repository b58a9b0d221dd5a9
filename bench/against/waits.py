"""What `bench/peers.py` measures besides rates: latency, and a killed sender."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from bench.against import ours
from bench.against.senders import Process
from bench.against.streams import Stream
from bench.against.theirs import Peer, peer, request

NOTICE_S = 30.0
"""Who has not said by then that the sender is dead does not say it."""
_ALIVE_S = 1.0
_SETTLE_S = 1.0
_LOOK_S = 0.01


class Paced:
    """A Merlin of our own, in a process, that sends at a steady rate."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self._folder = folder
        _, line = process.wait_for("^listening")
        self.ports: dict[str, int] = json.loads(line.removeprefix("listening "))

    def sent_ns(self) -> np.ndarray:
        """Return when each frame of the last acquisition was sent, (frames,)."""
        sent: np.ndarray = np.load(self._folder / "sent.npy")
        return sent

    def kill_in_mid_series(self) -> float:
        """Kill it a while after it has begun; return when, s."""
        self.process.wait_for("^began")
        time.sleep(_ALIVE_S)
        self.process.kill()
        return time.monotonic()


@contextmanager
def paced(stream: Stream, fps: float, folder: Path) -> Iterator[Paced]:
    """Have a Merlin send at a steady rate to whoever asks."""
    asked = {"stream": asdict(stream), "fps": fps, "save": str(folder / "sent.npy")}
    script = Path(__file__).with_name("paced.py")
    command = [sys.executable, str(script), json.dumps(asked)]
    with Process(command, dict(os.environ)) as process:
        yield Paced(process, folder)


def our_latency(stream: Stream, fps: float, folder: Path) -> dict[str, Any]:
    """Return ms from the sending of a frame to a subscriber who has its values."""
    with paced(stream, fps, folder) as sender:
        with ours.running(stream, sender.ports, 2, folder) as run:
            run.report()
            heard = run.heard
        here = ours.here_ns(heard, heard.acquisitions()[-1], stream.frames)
        return _quantiles(here, sender.sent_ns(), fps)


def their_latency(
    stream: Stream, fps: float, partition: int, folder: Path
) -> dict[str, Any]:
    """Return ms from the sending of a frame to a partial result that has its values."""
    save = folder / "here.npy"
    with paced(stream, fps, folder) as sender, peer(2, folder) as other:
        asked = request("iterate", stream, sender.ports, partition=partition)
        other.ask({**asked, "save": str(save)})
        return _quantiles(np.load(save), sender.sent_ns(), fps)


def _quantiles(here: np.ndarray, sent: np.ndarray, fps: float) -> dict[str, Any]:
    counted = (np.arange(len(sent)) >= _SETTLE_S * fps) & (here > 0)
    ages = (here - sent)[counted] / 1e6
    seconds = (sent[-1] - sent[0]) / 1e9
    return {
        "p50_ms": round(float(np.quantile(ages, 0.5)), 2),
        "p99_ms": round(float(np.quantile(ages, 0.99)), 2),
        "taken_fps": round(float((len(sent) - 1) / seconds)),
        "never_seen": int(np.count_nonzero(here == 0)),
    }


def killed_before_us(stream: Stream, fps: float, folder: Path) -> dict[str, Any]:
    """Return how long it takes until the engine names a killed sender."""
    with (
        paced(stream, fps, folder) as sender,
        ours.running(stream, sender.ports, 1, folder) as run,
    ):
        died = sender.kill_in_mid_series()
        while time.monotonic() < died + NOTICE_S:
            for book in run.status().get("acquisitions", {}).values():
                if book["state"] == "failed":
                    return _noticed(time.monotonic() - died, book["reason"])
            if run.process.process.poll() is not None:
                return _noticed(time.monotonic() - died, run.last_words())
            time.sleep(_LOOK_S)
    return _noticed(None, "")


def killed_before_them(stream: Stream, fps: float, folder: Path) -> dict[str, Any]:
    """Return how long it takes until `run_udf` returns or raises."""
    with paced(stream, fps, folder) as sender, peer(2, folder) as other:
        other.process.say(json.dumps(request("mourn", stream, sender.ports)))
        died = sender.kill_in_mid_series()
        return _their_word(other, died)


def _their_word(other: Peer, died: float) -> dict[str, Any]:
    try:
        _, line = other.process.wait_for("^answer .*noticed", NOTICE_S)
    except RuntimeError:
        return _noticed(None, "")
    answer = json.loads(line.removeprefix("answer "))
    return _noticed(answer["noticed"] - died, answer["said"])


def _noticed(seconds: float | None, said: str) -> dict[str, Any]:
    if seconds is None:
        return {"s": None, "said": f"nothing within {NOTICE_S:g} s"}
    return {"s": round(seconds, 2), "said": said}
