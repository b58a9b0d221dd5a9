"""The banner and the health view: plain words, ages, numbers with their units."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser.seen import Seen
from tests.engine.well import account, changed, well

from scopeside.dashboard.parts import Dashboard
from scopeside.result import Result

pytestmark = pytest.mark.browser

BANNER = "document.getElementById('banner')"
LEVEL = f"{BANNER}.dataset.level"


def sentence(level: str, about: str) -> dict[str, Any]:
    now_ms = time.time_ns() / 1e6
    return {
        "level": level, "about": about, "text": f"{about} is so", "what_to_do": "",
        "since_ms": now_ms - 601_000,
    }  # fmt: skip


def health(*sentences: dict[str, Any], ago_s: float = 0.0) -> dict[str, Any]:
    return {
        "t_ms": time.time_ns() / 1e6 - 1e3 * ago_s,
        "ended_ms": None,
        "phase": "running",
        "frames_per_s": 10.0,
        "sentences": list(sentences),
    }


def panel(seen: Seen, title: str) -> str:
    seen.view("Health")
    text: str = seen.tab.locator(f"#view-health [aria-label='{title}']").inner_text()
    return text


def test_of_an_engine_that_is_well_the_banner_says_nothing(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear_status(well())
    seen.until("scopeside.standing.state === 'live'")
    assert seen.tab.evaluate(LEVEL) == "ok"
    seen.until(f"{BANNER}.dataset.empty === 'true'")
    assert seen.tab.locator("#banner").bounding_box()["height"] == 0


def test_the_worst_comes_first_and_more_than_two_lead_to_the_view(
    seen: Seen, served: Dashboard
) -> None:
    matters = [sentence("ok", "note"), sentence("warn", "a"), sentence("warn", "b")]
    served.page.tell("health", health(*matters, sentence("bad", "disk")))
    seen.until(f"{LEVEL} === 'bad'")
    lines = seen.tab.locator("#banner li:visible").all_inner_texts()
    assert [line.split("\n")[0] for line in lines] == ["disk is so", "a is so"]
    assert "for 10 min" in lines[0]
    assert seen.tab.locator("#banner li .sign").first.get_attribute("aria-label") == (
        "trouble"
    )
    seen.tab.get_by_role("button", name="and 1 more").click()
    assert seen.tab.locator("#view-health").is_visible()
    assert "note is so" in panel(seen, "What is the matter")


def test_the_banner_is_read_aloud_when_the_matter_changes_not_its_age(
    seen: Seen, served: Dashboard
) -> None:
    served.page.tell("health", health(sentence("bad", "disk")))
    seen.until(f"{LEVEL} === 'bad'")
    seen.tab.evaluate(
        "window.told = 0;"
        "void new MutationObserver(() => (window.told += 1))"
        ".observe(document.querySelector('#banner [aria-live]'), {childList: true})"
    )
    again = sentence("bad", "disk") | {"since_ms": 0, "text": "disk is worse"}
    served.page.tell("health", health(again))
    seen.until(f"{BANNER}.innerText.includes('disk is worse')")
    assert seen.tab.evaluate("window.told") == 0
    served.page.tell("health", health(sentence("bad", "card")))
    seen.until("window.told > 0")


def test_nothing_flickers_what_is_short_is_not_shown_what_is_over_stays_a_while(
    seen: Seen,
) -> None:
    found = seen.tab.evaluate(
        """async () => {
          const { Lasting } = await import("/js/health/lasting.js");
          const lasting = new Lasting();
          const one = [{ about: "disk", level: "bad", text: "full" }];
          const steps = [[one, 0], [[], 900], [one, 1000], [one, 1999], [one, 2000],
                         [[], 2500], [one, 3000], [[], 4000], [[], 6999], [[], 7000]];
          return steps.map(([said, ms]) =>
            lasting.see(said, ms).map(({ over }) => over).join());
        }"""
    )
    #          0   900 1000 1999 2000     2500    3000     4000    6999    7000
    assert found == ["", "", "", "", "false", "true", "false", "true", "true", ""]


def test_an_engine_that_does_not_answer_is_not_shown_as_live(
    seen: Seen, served: Dashboard
) -> None:
    served.page.tell("health", health(sentence("bad", "disk"), ago_s=10))
    seen.until("document.documentElement.dataset.engine === 'silent'")
    seen.until(f"{BANNER}.innerText.startsWith('the engine has not answered for 1')")
    assert seen.tab.title() == "! stale – scopeside"


def test_a_part_of_the_page_that_fails_is_named(seen: Seen, served: Dashboard) -> None:
    served.page.on_status(lambda status: status["no such key"])
    served.page.hear_status(well())
    served.page.hear_status(well())
    seen.until(
        f"{BANNER}.innerText.includes('a part of this page failed (test_health)')"
    )


def test_an_engine_that_has_ended_leaves_its_last_picture(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear_status(well())
    seen.until("document.documentElement.dataset.engine === 'live'")
    served.page.attached(None)
    seen.until(f"{BANNER}.innerText.includes('this is its last picture')")
    assert seen.tab.evaluate("document.documentElement.dataset.engine") == "ended"


def test_advice_in_the_banner_is_read_in_full(seen: Seen, served: Dashboard) -> None:
    long = sentence("warn", "slab") | {"what_to_do": "more workers, " * 20}
    served.page.tell("health", health(long))
    what = "document.querySelector('#banner li .what')"
    seen.until(f"{what}.innerText.endsWith('more workers,')")
    assert seen.tab.evaluate(f"{what}.scrollWidth <= {what}.clientWidth")
    assert seen.tab.evaluate(f"{what}.clientHeight > 20")
    assert seen.tab.evaluate("document.body.scrollWidth <= innerWidth")


def test_an_engine_that_was_killed_is_told_in_red_with_what_can_be_saved(
    seen: Seen, served: Dashboard, tmp_path: Path
) -> None:
    (tmp_path / "lock").touch()
    served.page.hear_status(well() | {"folder": str(tmp_path)})
    seen.until("document.documentElement.dataset.engine === 'live'")
    served.page.attached(None)
    seen.until(f"{BANNER}.innerText.includes('the engine stopped without a word at')")
    seen.until(f"{BANNER}.innerText.includes('scopeside runs recover')")
    assert seen.tab.evaluate(LEVEL) == "bad"
    assert seen.tab.title().startswith("! stopped at")


def test_after_ten_seconds_it_is_not_promised_that_a_lost_page_comes_back(
    seen: Seen,
) -> None:
    soon, late = seen.tab.evaluate(
        """async () => {
          const { sentencesOf } = await import("/js/health/local.js");
          return [9_000, 40_000].map((ageMs) => {
            const [one] = sentencesOf({
              state: "lost", health: null, turnedAway: "", ageMs,
            });
            return `${one.text}; ${one.what_to_do}`;
          });
        }"""
    )
    assert "has ended" not in soon
    assert "no connection for 40 s: the page's process has ended, probably" in late
    assert "look at its terminal" in late


def test_the_view_tells_rates_and_progress_with_their_units(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear_status(well())
    later = changed("edges/stem", account(processed=990, dropped={"superseded": 7}))
    later["record"]["spool_share"] = 0.4
    served.page.hear_status(later)
    seen.view("Health")
    seen.until("document.querySelector('#view-health tbody tr') !== null")
    assert "990 of 1,000" in panel(seen, "Chains")
    assert "1,000 of 2,000 frames, 0 missing" in panel(seen, "Acquisitions under way")
    losses = panel(seen, "Frames not processed")
    assert "a newer batch took its place, as this chain asks" in losses
    assert "spool 40 % full" in panel(seen, "Recording and disk")
    processes = panel(seen, "Processes")
    assert "worker.stem.0" in processes
    assert re.search(r"\d [MG]B", processes)
    assert "300 " in panel(seen, "Channels")


def test_what_an_engine_says_is_text_whatever_it_looks_like(
    seen: Seen, served: Dashboard
) -> None:
    evil = "<img src=x onerror='window.evil=1'>"
    note = {"t_ns": time.time_ns(), "from": evil, "text": evil}
    status = changed("notes", [note])
    status["edges"][evil] = account(dropped={evil: 3})
    status["channels"][evil] = {"state": evil, "reason": evil, "value": None}
    served.page.hear_status(status)
    assert evil in panel(seen, "Notes of the engine")
    seen.until(f"{LEVEL} === 'bad'")
    assert seen.tab.locator("#view-health img, #banner img").count() == 0
    assert seen.tab.evaluate("window.evil") is None


def test_a_tab_measures_from_frame_to_pixel(seen: Seen, served: Dashboard) -> None:
    served.page.hear_status(well())
    assert "no image was painted yet" in panel(seen, "This page")
    seen.view("Images")
    now = time.time_ns()
    meta = {"chain": "stem", "processor": "virtual", "acq": "1"}
    times = {"t_frame_ns": now - 10**9, "t_published_ns": now}
    served.page.hear(Result("bf", np.ones((8, 8)), meta=meta | times))
    seen.until("scopeside.paints.summary() !== null")
    said = panel(seen, "This page")
    assert "p50" in said
    assert "1 images" in said
    assert "tabs open\n1" in said.replace("\t", "\n")
