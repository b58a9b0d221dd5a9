"""Changes that wait for the end of an acquisition."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scopeside.dashboard import steering_next
from scopeside.dashboard.page import Page
from scopeside.dashboard.steering_next import Next
from scopeside.errors import ConfigError, EngineNotFoundError
from scopeside.result import Result

DETECTORS = {"bf": {"disk": [1, 1, 1]}, "adf": {"annulus": [1, 1, 1, 2]}}
MOVED = {"processor": "stem.virtual", "values": {"detectors.bf.disk": [2, 2, 1]}}


class Engine:
    """Takes changes as one does that refuses them while an acquisition runs."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.runs, self.never = True, ""
        self.asked: list[Any] = []
        page.commands["set_params"] = self.take

    def take(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(body["values"])
        if self.runs or self.never:
            raise ConfigError(self.never or "only between acquisitions")
        return {"version": 2}

    def status(self, *_asked: Any) -> dict[str, Any]:
        state = "running" if self.runs else "complete"
        params = {"stem.virtual": {"params": {"detectors": DETECTORS}}}
        return {
            "folder": str(self.folder),
            "open": {"scan-1": {"state": state}},
            "params": params,
        }

    def tell(self) -> None:
        self.page.hear_status(self.status())

    def last_frame(self) -> None:
        meta = {"chain": "stem", "processor": "virtual"}
        self.page.hear(
            Result("bf", np.zeros((2, 2)), used=4, expected=4, frame=3, meta=meta)
        )


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    page = Page()
    monkeypatch.setattr(steering_next, "TRIES_S", 0.1)
    made = Engine(page, tmp_path)
    monkeypatch.setattr(steering_next, "ask", made.status)
    Next(page, lambda _processor, _values: None)
    page.attached(tmp_path)
    made.tell()
    yield made
    page.over.set()


def told(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.page.topic("steering_next")[1])[0]  # type: ignore[index]
    return found


def until(found: Callable[[], Any]) -> None:
    ends = time.monotonic() + 20
    while not found():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_it_is_asked_for_at_the_last_frame_and_again_until_nothing_runs(
    engine: Engine,
) -> None:
    engine.page.commands["set_next"](MOVED)
    assert engine.asked == []
    engine.last_frame()
    until(lambda: told(engine)["missed"] == 1)
    engine.last_frame()
    engine.runs = False
    until(lambda: told(engine)["state"] == "done")
    assert told(engine)["version"] == 2
    assert engine.asked[-1] == MOVED["values"]


def test_what_is_refused_though_nothing_runs_is_said_to_be(engine: Engine) -> None:
    engine.page.commands["set_next"](MOVED)
    engine.runs, engine.never = False, "detectors.bf holds no pixel"
    engine.tell()
    until(lambda: told(engine)["state"] == "refused")
    assert told(engine)["reason"] == "detectors.bf holds no pixel"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"drop": ["detectors.bf"]}, ["adf"]),
        ({"move": {"detectors.bf": "df"}}, ["df", "adf"]),
        ({"drop": ["detectors.bf"], "values": {"detectors.x": {}}}, ["adf", "x"]),
    ],
)
def test_a_detector_goes_or_gets_another_name_and_the_others_stay(
    engine: Engine, change: dict[str, Any], names: list[str]
) -> None:
    engine.runs = False
    engine.page.commands["set_next"]({"processor": "stem.virtual", **change})
    engine.tell()
    until(lambda: told(engine)["state"] == "done")
    assert list(engine.asked[-1]["detectors"]) == names


def test_one_waits_at_a_time_until_it_is_cancelled_or_the_engine_ends(
    engine: Engine,
) -> None:
    page = engine.page
    asked = page.commands["set_next"](MOVED)
    with pytest.raises(ConfigError, match="waits already"):
        page.commands["set_next"](MOVED)
    page.commands["cancel_next"](asked)
    assert told(engine)["state"] == "cancelled"
    page.commands["set_next"](MOVED)
    page.attached(None)
    assert "the engine has ended" in told(engine)["reason"]
    with pytest.raises(EngineNotFoundError):
        page.commands["set_next"](MOVED)


@pytest.mark.parametrize("wrong", [None, 1, ["a"]])
def test_names_that_are_no_table_are_not_understood(
    engine: Engine, wrong: object
) -> None:
    """The server tells so in words; any other fault is one of ours to it."""
    with pytest.raises((TypeError, ValueError)):
        engine.page.commands["set_next"]({**MOVED, "move": wrong})
