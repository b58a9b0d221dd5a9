"""The page in a real browser, with whole engines behind it."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.browser.chromium import a_chromium
from tests.browser.seen import Seen
from tests.system.engine_runs import Running, nothing_left, pid_of, running, scopeside
from tests.system.page_seen import (
    address,
    alive,
    eventually,
    grey,
    opened,
    paints,
    token,
)
from tests.system.plugins import lines
from tests.system.test_feedback import armed
from tests.system.test_feedback_example import patient_example

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

BF = "stem.virtual.bf"
SCAN = [40, 40]
CHAIN = [
    {
        "name": "stem",
        "processor": [
            {"kind": "virtual", "detectors": {"bf": {"disk": [63.5, 63.5, 7]}}}
        ],
    },
    {"name": "view", "edge": "latest", "processor": [{"kind": "sum"}]},
]


def scans(folder: Path) -> Path:
    """A pipeline that scans again and again, four seconds each."""
    detector = {
        "kind": "simulator",
        "mode": "scan4d",
        "scan": SCAN,
        "fps": 400.0,
        "acquisitions": 0,
        # On a busy machine tabs get an image a second: the whole scan is to be seen.
        "pause_s": 2.0,
    }
    path = folder / "pipeline.toml"
    path.write_text(lines(detector=detector, chain=CHAIN))
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with a_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def scanning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An engine with a page that several tests look at."""
    folder = tmp_path_factory.mktemp("scanning")
    with running(folder, "run", scans(folder), "--page", "0", "--headless") as engine:
        address(engine)
        yield engine
        end(engine)
    assert nothing_left(folder) == []


def end(engine: Running) -> None:
    """End an engine; its code is 0 if that was between two scans."""
    engine.process.send_signal(signal.SIGTERM)
    assert engine.wait() in {0, 143}, engine.said


def address_said(folder: Path) -> str:
    """What a person is told who asks where the page is."""
    return scopeside(folder, "page", "--address").stdout.strip()


@contextmanager
def tab_of(chromium: Any, where: str) -> Iterator[Seen]:
    seen = opened(chromium, where)
    yield seen
    seen.tab.close()


@pytest.fixture
def seen(chromium: Any, scanning: Running) -> Iterator[Seen]:
    """A tab that may change things."""
    where = f"{address(scanning)}/#token={token(scanning.folder)}"
    with tab_of(chromium, where) as seen:
        yield seen
        assert seen.complaints == []


def test_a_scan_fills_in_as_its_frames_are_used(seen: Seen) -> None:
    def whole_scan() -> list[dict[str, Any]]:
        found = paints(seen, BF)
        done = {one["acq"] for one in found if one["share"] == 1.0}
        scans = [[one for one in found if one["acq"] == acq] for acq in sorted(done)]
        return next((scan for scan in scans if scan[0]["share"] < 0.5), [])

    scan = eventually(whole_scan, "a scan was seen from its first half to its end")
    shares = [one["share"] for one in scan]
    assert shares == sorted(shares)
    assert len(set(shares)) > 2
    of_frames = [one["used"] / one["expected"] for one in scan]
    assert shares == pytest.approx(of_frames)


def test_a_dragged_detector_changes_the_image_and_the_version_in_it(
    seen: Seen,
) -> None:
    before = eventually(
        lambda: [p for p in paints(seen, BF) if p["first"]], "a first pixel"
    )[-1]
    seen.view("Steering")
    knob = seen.tab.locator("[data-shape=bf] [data-handle=r]")
    knob.wait_for()
    dot = "document.querySelector('[data-shape=bf] .dot')"
    seen.until(f"{dot}.getBoundingClientRect().width > 4")
    knob.hover()  # waits until it moves no more: the pattern finds its place first
    box = knob.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = seen.tab.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 20, y)
    mouse.move(x + 40, y)
    mouse.up()
    row = seen.tab.locator(".shapes li", has_text="bf").first
    row.get_by_text(re.compile(r"holds: version [2-9]")).wait_for()

    def after() -> list[dict[str, Any]]:
        later = [p for p in paints(seen, BF) if p["params"] > before["params"]]
        changed_in = later[0]["acq"] if later else None
        return [p for p in later if p["acq"] != changed_in and p["first"]]

    (new, *_) = eventually(after, "the next scan had the new version")
    # A disk that is larger by half holds more of the direct beam.
    assert new["first"] > 1.1 * before["first"]


def test_a_detector_is_added_and_removed_between_two_scans(seen: Seen) -> None:
    seen.view("Steering")
    box = seen.tab.locator("details.detectors")
    box.locator("summary").click()
    box.get_by_label("name of the new detector").fill("more")
    box.get_by_role("button", name="Add").click()
    (new, *_) = eventually(lambda: paints(seen, "stem.virtual.more"), "its image came")
    said = box.get_by_text("add more: version")
    version = int(said.inner_text(timeout=20_000).split("version ")[1].split(",")[0])
    assert new["params"] == version
    box.get_by_label("detector", exact=True).select_option("more")
    box.get_by_role("button", name="Remove").click()
    of_it = seen.tab.locator("[data-shape=more], [data-version-of='stem.virtual.more']")
    eventually(lambda: of_it.count() == 0, "the shape and its image went")


def test_two_tabs_at_once_both_live(
    seen: Seen, chromium: Any, scanning: Running
) -> None:
    with tab_of(chromium, address(scanning)) as other:
        for one in (seen, other, seen):
            alive(one)


def test_without_the_token_nothing_changes(chromium: Any, scanning: Running) -> None:
    where = address(scanning)
    for shown in ({}, {"Authorization": "Bearer of-another"}):
        asked = urllib.request.Request(
            f"{where}/api/set_params",
            data=b'{"processor": "stem.virtual", "values": {}}',
            headers={"Content-Type": "application/json", **shown},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=10)
        assert refused.value.code in {401, 403}
        refused.value.close()
    with tab_of(chromium, where) as seen:
        seen.view("Steering")
        form = seen.tab.locator("[data-processor='stem.virtual']")
        form.locator("input").first.wait_for(state="attached")
        assert form.locator("input:enabled").count() == 0


def test_hold_reaches_the_guard(chromium: Any, tmp_path: Path) -> None:
    path = patient_example(tmp_path)
    with running(tmp_path, "run", path, "--page", "0", "--headless") as engine:
        armed(engine, tmp_path)
        where = f"{address(engine)}/#token={token(tmp_path)}"
        with tab_of(chromium, where) as seen:
            seen.until("document.querySelector('#hold')?.disabled === false")
            seen.tab.locator("#hold").click()
            engine.until(lambda s: s["control"]["mode"] == "parked", "was parked")
        said = json.loads(scopeside(tmp_path, "guard", "--json").stdout)
        assert said["mode"] == "parked"
        assert said["parked"]["cause"] == "held"
        end(engine)
    assert nothing_left(tmp_path) == []


def test_when_the_engine_is_killed_the_page_greys_and_comes_back_with_the_next(
    chromium: Any, tmp_path: Path
) -> None:
    path = scans(tmp_path)
    with running(tmp_path, "page", "--port", "0") as page:
        own = eventually(lambda: address_said(tmp_path), "a page of its own")
        with running(tmp_path, "run", path, "--page", "0", "--headless") as engine:
            where = address(engine)
            tabs = [opened(chromium, own), opened(chromium, where)]
            for seen in tabs:
                alive(seen)
            engine.process.kill()
            engine.process.wait()
            for seen in tabs:
                grey(seen)
        port = where.rpartition(":")[2]
        with running(tmp_path, "run", path, "--page", port, "--headless") as engine:
            for seen in tabs:
                alive(seen)
                seen.tab.close()
            end(engine)
        page.process.send_signal(signal.SIGTERM)
        assert page.wait() == 0, page.said
    assert nothing_left(tmp_path) == []


def test_a_page_that_is_killed_and_stopped_loses_no_frame(
    chromium: Any, tmp_path: Path
) -> None:
    arguments = ("--page", "0", "--headless", "--report", "r.json")
    with running(tmp_path, "run", scans(tmp_path), *arguments) as engine:
        with tab_of(chromium, address(engine)) as seen:
            for restarts in (1, 2, 3):
                alive(seen)
                engine.kill("page")
                engine.until(
                    lambda s, n=restarts: (
                        s["restarts"].get("page") == n and pid_of(s, "page")
                    ),
                    "came back",
                )
            alive(seen)
            os.kill(engine.pid("page"), signal.SIGSTOP)
            received = engine.status()["rates"]["frames"]
            engine.until(lambda s: s["rates"]["frames"] > received + 800, "went on")
        end(engine)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["closed"]
    account = report["ledger"]["stem"]
    assert account["announced"] == account["processed"] > 0
    assert nothing_left(tmp_path) == []
