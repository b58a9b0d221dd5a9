"""The feedback panel: hold and blank from everywhere, proposals, the audit log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import TOKEN
from tests.browser.seen import PATIENCE_S, Seen
from tests.engine.audit_records import T, proposal, session
from tests.engine.guard_double import GuardDouble, done, failed, guard_in, silent

from scopeside.control import asking
from scopeside.control.audit import AuditLog
from scopeside.dashboard import guard_watch
from scopeside.dashboard.parts import Dashboard
from scopeside.publication import digest
from scopeside.result import Result

pytestmark = pytest.mark.browser

S = 10**9
VIEWS = ("Images", "Steering", "In situ", "Feedback", "Health")
LIMITS = {
    "set_fov": {
        "every_s": 0.5,
        "fields": {"width_m": {"min": 4e-8, "max": 2e-7, "step": 1e-7}},
    }
}


@pytest.fixture
def guard(
    served: Dashboard, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GuardDouble]:
    """The guard of the engine that the page looks at."""
    with guard_in(short_path / "scopeside" / "1-a") as double:
        double.status |= {"ceiling": "armed", "limits": LIMITS, "last": []}
        served.page.attached(double.folder)
        yield double


@pytest.fixture
def at_guard(seen: Seen, guard: GuardDouble) -> Seen:
    """A tab that has heard of the guard."""
    seen.tab.locator("#hold").wait_for()
    return seen


def says(seen: Seen, where: str, text: str) -> None:
    seen.tab.locator(where, has_text=text).first.wait_for()


def until(found: Callable[[], Any]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)


def waiting(name: str = "movie/go/7", **more: Any) -> dict[str, Any]:
    now = time.time_ns()
    one = {
        "id": name,
        "action": "set_fov",
        "fields": {"width_m": 5e-8},
        "rule": "go_to_event",
        "why": "event 7, confidence 0.9",
        "acquisition": "movie",
        "frame": 7,
        "confidence": 0.9,
        "t_frame_ns": now - S,
        "until_ns": now + 60 * S,
    }
    return {**one, **more}


# -- hold and blank -----------------------------------------------------------------


def test_hold_reaches_the_guard_by_key_and_by_click_from_every_view(
    at_guard: Seen, guard: GuardDouble
) -> None:
    for view in VIEWS:
        at_guard.view(view)
        for ask in (at_guard.tab.keyboard.press, at_guard.tab.click):
            heard = len(guard.heard)
            ask("h" if ask == at_guard.tab.keyboard.press else "#hold")
            says(at_guard, "#hold[data-state=done]", "HELD")
            until(lambda heard=heard: len(guard.heard) > heard)
    assert {(way, one["ask"]) for way, one in guard.heard} == {("stop", "hold")}
    assert len(guard.heard) == 2 * len(VIEWS)
    assert guard.heard[0][1]["who"].endswith("on the page")


def test_shift_b_blanks_and_letters_in_a_text_do_not(
    at_guard: Seen, guard: GuardDouble
) -> None:
    at_guard.view("Feedback")
    text = at_guard.tab.locator("input[name=text]")
    text.fill("")
    text.press_sequentially("hB")
    at_guard.tab.locator("body").click(position={"x": 3, "y": 3})
    at_guard.tab.keyboard.press("b")
    at_guard.tab.keyboard.press("Control+h")
    assert text.input_value() == "hB"
    at_guard.tab.keyboard.press("Shift+B")
    says(at_guard, "#blank[data-state=done]", "BLANKED")
    assert [(way, one["ask"]) for way, one in guard.heard] == [("stop", "blank")]


def test_a_stop_that_nobody_answers_says_so_aloud_and_can_be_asked_again(
    at_guard: Seen, guard: GuardDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking.stop, "__defaults__", (1.4,))
    guard.answers |= {"stop": silent, "guard": silent}
    at_guard.tab.keyboard.press("h")
    says(at_guard, "#hold", "asked to hold")
    says(at_guard, "#stop-alert", "no answer yet. Do not wait for it")
    says(at_guard, "#stop-alert", "NOT CONFIRMED: use the instrument's own controls")
    says(at_guard, "#hold[data-state=failed]", "NOT CONFIRMED")
    guard.answers["stop"] = done
    at_guard.tab.get_by_role("button", name="hold again").click()
    says(at_guard, "#hold[data-state=done]", "HELD")
    at_guard.tab.locator("#stop-alert").wait_for(state="hidden")


def test_hold_works_while_all_other_requests_hang(
    at_guard: Seen, guard: GuardDouble, served: Dashboard
) -> None:
    let_go, hanging = threading.Event(), threading.Semaphore(0)

    def hang(_: Any) -> dict[str, Any]:
        hanging.release()
        let_go.wait(60)
        return {}

    served.page.questions["hang"] = hang
    # More than a browser has under way to one server, and more than are answered at
    # once: three hang in their threads, three wait for one, three wait in the browser.
    at_guard.tab.evaluate("for (let i = 0; i < 9; i += 1) void fetch(`api/hang?${i}`)")
    for _ in range(3):
        assert hanging.acquire(timeout=PATIENCE_S)
    at_guard.tab.keyboard.press("h")
    says(at_guard, "#hold[data-state=done]", "HELD")
    assert [way for way, _ in guard.heard] == ["stop"]
    let_go.set()
    for _ in range(6):
        assert hanging.acquire(timeout=PATIENCE_S)


def test_hold_needs_no_socket(at_guard: Seen, guard: GuardDouble) -> None:
    at_guard.tab.evaluate(
        """() => {
            window.WebSocket = class {
                constructor() { setTimeout(() => this.onclose()); }
            };
        }"""
    )
    at_guard.tab.keyboard.press("h")
    says(at_guard, "#hold[data-state=done]", "HELD")
    assert [way for way, _ in guard.heard] == ["stop"]


def test_when_the_pages_server_is_gone_other_ways_are_named(
    at_guard: Seen, served: Dashboard
) -> None:
    served.server.close()
    says(at_guard, "#mode-chip[data-mode=lost]", "MODE UNKNOWN")
    at_guard.tab.keyboard.press("Shift+B")
    says(at_guard, "#stop-alert", "use 'scopeside blank' or the microscope's own")
    at_guard.complaints.clear()  # the request has failed, as it should


def test_without_feedback_there_is_nothing_to_stop(
    seen: Seen, served: Dashboard, short_path: Path
) -> None:
    folder = short_path / "scopeside" / "2-b"
    folder.mkdir(parents=True)
    served.page.attached(folder)
    served.page.hear_status({"folder": str(folder), "phase": "running", "control": {}})
    seen.view("Feedback")
    asked: list[str] = []
    seen.tab.on("request", lambda request: asked.append(request.url))
    seen.view("Images")
    seen.view("Feedback")
    says(seen, "#view-feedback", "There is no feedback in this pipeline")
    says(seen, "#view-feedback .no-feedback", "examples/feedback.toml")
    assert not seen.tab.locator(
        "#view-feedback .panel:not(.no-feedback):visible"
    ).count()
    assert [url for url in asked if "/api/" in url] == []
    assert not seen.tab.locator("#hold").is_visible()


def test_without_the_token_all_is_seen_and_nothing_can_be_changed(
    at_guard: Seen, guard: GuardDouble, served: Dashboard
) -> None:
    guard.status["waiting"] = [waiting()]
    at_guard.tab.evaluate("sessionStorage.removeItem('scopeside.token')")
    at_guard.tab.goto(served.server.address)
    at_guard.view("Feedback")
    says(at_guard, ".card", "set_fov: width = 50 nm")
    for name in ("Accept (a)", "Decline (d)", "Arm …", "Let the beam on …"):
        button = at_guard.tab.get_by_role("button", name=name)
        assert button.is_disabled()
        assert "may only look" in (button.get_attribute("title") or "")
    assert at_guard.tab.locator("#hold").is_disabled()
    at_guard.tab.keyboard.press("h")
    says(at_guard, "#stop-alert", "Nothing was asked: this tab may only look")
    assert guard.heard == []


# -- the mode -----------------------------------------------------------------------


def test_to_arm_shows_the_limits_asks_back_and_counts_down_in_every_view(
    at_guard: Seen, guard: GuardDouble
) -> None:
    def arm(request: Any) -> list[dict[str, Any]]:
        ends = time.time_ns() + int(request["seconds"] * S)
        guard.status |= {"mode": "armed", "armed_until_ns": ends, "armed_by": "anna"}
        return done(request)

    guard.answers["guard"] = arm
    at_guard.view("Feedback")
    at_guard.tab.get_by_label("5 min").check()
    at_guard.tab.get_by_role("button", name="Arm …").click()
    says(at_guard, ".confirm", "set_fov: width 40 nm … 200 nm, step 100 nm")
    assert guard.heard == []
    at_guard.tab.get_by_role("button", name="Arm for 5 min").press("Enter")
    says(at_guard, ".mode .now", "ARMED")
    ((_, asked),) = guard.heard
    assert (asked["ask"], asked["seconds"]) == ("arm", 300)
    says(at_guard, ".mode", "by anna")
    for view in VIEWS:
        at_guard.view(view)
        says(at_guard, "#mode-chip[data-mode=armed]", "ARMED 04:5")


def test_what_was_armed_is_not_said_to_be_armed_once_it_is_parked(
    at_guard: Seen, guard: GuardDouble
) -> None:
    guard.answers["guard"] = done
    at_guard.view("Feedback")
    at_guard.tab.get_by_role("button", name="Arm …").click()
    at_guard.tab.get_by_role("button", name="Arm for 10 min").click()
    answer = at_guard.tab.locator(".mode .answer")
    answer.and_(at_guard.tab.locator("[data-state=done]")).wait_for()
    cause = {"cause": "held", "reason": "asked to hold", "since_ns": time.time_ns()}
    guard.status |= {"mode": "parked", "parked": cause}
    says(at_guard, ".mode .now", "PARKED")
    assert answer.is_hidden()


def test_parked_says_why_and_what_to_do(at_guard: Seen, guard: GuardDouble) -> None:
    cause = {"cause": "silence", "reason": "not heard", "since_ns": time.time_ns()}
    guard.status |= {"mode": "parked", "parked": cause}
    says(at_guard, "#mode-chip[data-mode=parked]", "PARKED: silence")
    at_guard.view("Feedback")
    says(at_guard, ".parked", "see under Health what does not run")
    guard.status["engine"] = {"degraded": ["worker.stem.0"], "silent": False}
    says(at_guard, ".troubles", "does not run: worker.stem.0")
    says(at_guard, ".parked", "see under Health what does not run")
    guard.status["engine"] = {"degraded": [], "silent": False}
    says(
        at_guard, ".parked", "Everything runs again: arm or advise when you are ready."
    )
    guard.answers["guard"] = failed("the disk is full")
    at_guard.tab.get_by_role("button", name="Unpark: advise").click()
    says(at_guard, ".mode .answer[data-state=failed]", "FAILED: the disk is full")


def test_a_guard_that_falls_silent_is_no_longer_said_to_be_armed(
    seen: Seen, served: Dashboard, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_watch, "ANSWER_S", 0.2)
    with guard_in(short_path / "scopeside" / "1-a") as double:
        ends = time.time_ns() + 60 * S
        double.status |= {"mode": "armed", "ceiling": "armed", "armed_until_ns": ends}
        served.page.attached(double.folder)
        says(seen, "#mode-chip[data-mode=armed]", "ARMED")
    says(seen, "#mode-chip[data-mode=lost]", "GUARD SILENT")
    seen.view("Feedback")
    says(seen, ".mode", "It was armed.")


def test_a_page_that_has_begun_anew_claims_no_mode(
    at_guard: Seen, guard: GuardDouble, served: Dashboard
) -> None:
    ends = time.time_ns() + 60 * S
    guard.status |= {"mode": "armed", "armed_until_ns": ends}
    says(at_guard, "#mode-chip[data-mode=armed]", "ARMED")
    at_guard.view("Feedback")
    served.server.close()
    at_guard.until("document.documentElement.dataset.link === 'lost'")
    anew = Dashboard(None, served.server.port, TOKEN)
    anew.server.start()
    at_guard.until("document.documentElement.dataset.link === 'open'")
    says(at_guard, "#mode-chip[data-mode=lost]", "MODE UNKNOWN")
    says(at_guard, ".mode", "has not heard the guard yet")
    assert at_guard.tab.locator("#hold").is_enabled()
    anew.page.attached(guard.folder)
    says(at_guard, "#mode-chip[data-mode=armed]", "ARMED")
    anew.server.close()
    at_guard.complaints.clear()  # of requests while nobody served


# -- proposals ----------------------------------------------------------------------


def test_a_proposal_is_accepted_by_click_and_declined_by_key(
    at_guard: Seen, guard: GuardDouble
) -> None:
    guard.status["waiting"] = [waiting("a/1"), waiting("a/2", action="set_exposure")]
    at_guard.view("Feedback")
    card = at_guard.tab.locator(".card[data-id='a/1']")
    card.get_by_role("button", name="Accept").click()
    says(at_guard, ".card[data-id='a/1'] .answer", "done by the instrument")
    other = at_guard.tab.locator(".card[data-id='a/2']")
    other.focus()
    at_guard.tab.keyboard.press("d")
    says(at_guard, ".card[data-id='a/2'] .answer", "declined")
    asked = [(one["ask"], one["id"]) for _, one in guard.heard]
    assert asked == [("accept", "a/1"), ("decline", "a/2")]


def test_one_that_waits_no_longer_stays_a_moment_with_its_verdict(
    at_guard: Seen, guard: GuardDouble
) -> None:
    guard.status["waiting"] = [waiting("a/1")]
    at_guard.view("Feedback")
    says(at_guard, ".card", "59")  # seconds that it can be accepted for
    over = {"id": "a/1", "action": "", "state": "refused", "cause": "expired"}
    guard.status |= {"waiting": [], "last": [{**over, "reason": "nobody accepted it"}]}
    says(at_guard, ".card.gone .verdict", "refused: expired; nobody accepted it")
    assert at_guard.tab.locator(".card").get_by_role("button").first.is_disabled()
    says(at_guard, ".verdicts .row-of", "refused: expired")


def test_equal_refusals_in_a_row_are_counted_with_what_was_asked_for(
    at_guard: Seen, guard: GuardDouble
) -> None:
    one = {"action": "go", "call": "go: x = -2 nm", "state": "refused", "cause": "rate"}
    now = time.time_ns()
    equal = [{**one, "id": f"a/{n}", "t_ns": now} for n in range(37)]
    done_ = {**one, "id": "b", "state": "done", "cause": "", "t_ns": now}
    guard.status["last"] = [*equal, done_, equal[0]]
    at_guard.view("Feedback")
    says(at_guard, ".verdicts .row-of", "37 times, last")
    rows = at_guard.tab.locator(".verdicts .row-of:visible")
    assert rows.count() == 3
    assert "go: x = −2 nm" in rows.first.inner_text()


def test_a_proposal_shows_the_picture_that_it_stands_on(
    at_guard: Seen, guard: GuardDouble, served: Dashboard, tmp_path: Path
) -> None:
    thumbnail = [[float(row + column) for column in range(9)] for row in range(9)]
    data = {"id": 7, "status": "confirmed", "thumbnail": thumbnail, "radius_px": 4.0}
    meta = {"acq": "acq7", "chain": "movie", "processor": "nucleation", "params": 1}
    event = Result("nucleation", data, "event", frame=42, meta=meta)
    served.page.hear(event)
    body = proposal("a/1", "waiting")
    body["decision"]["proposal"]["evidence"]["sources"] = [{"digest": digest(event)}]
    with AuditLog.open(tmp_path / "audit.jsonl") as log:
        log.append("proposal", body, T)
    guard.status |= {"audit": str(log.path), "waiting": [waiting("a/1")]}
    at_guard.view("Feedback")
    says(at_guard, ".card figcaption", "the very result that it stands on")
    at_guard.until("document.querySelector('.card canvas')?.width === 9")
    assert at_guard.tab.locator(".card .overlay circle").count() == 2


# -- the audit log ------------------------------------------------------------------


def test_the_audit_log_is_searched_and_tells_a_story(
    at_guard: Seen, guard: GuardDouble, tmp_path: Path
) -> None:
    guard.status["audit"] = str(session(tmp_path / "audit.jsonl"))
    at_guard.view("Feedback")
    says(at_guard, ".audit .checked[data-state=ok]", "chain sound: 10 records")
    at_guard.tab.locator("select[name=state]").select_option("failed")
    at_guard.tab.get_by_role("button", name="Search").click()
    at_guard.until("document.querySelectorAll('.audit tbody tr').length === 1")
    row = at_guard.tab.locator(".audit tbody tr")
    assert "the stage did not arrive" in row.inner_text()
    row.focus()
    at_guard.tab.keyboard.press("Enter")
    says(at_guard, ".story", "anna@tem asked to accept it")


def test_a_long_search_says_how_much_is_left_and_can_be_stopped(
    at_guard: Seen, served: Dashboard
) -> None:
    asked: list[dict[str, str]] = []

    def piece(question: dict[str, str]) -> dict[str, Any]:
        asked.append(question)
        found = {"path": "/audit.jsonl", "rows": [], "back_to_ms": T / 1e6}
        return {**found, "looked_at": 12_000, "left": 0.401, "more": "a-search"}

    served.page.questions["audit"] = piece
    at_guard.view("Feedback")
    says(at_guard, ".audit [role=status]", "nothing found in 12,000 records, back to")
    says(at_guard, ".audit [role=status]", "41 % of the log is left")
    at_guard.tab.get_by_role("button", name="Stop", exact=True).click()
    at_guard.tab.get_by_role("button", name="older …").wait_for()
    n_asked = len(asked)
    at_guard.tab.get_by_role("button", name="older …").click()
    until(lambda: len(asked) > n_asked)
    assert asked[-1] == {"more": "a-search"}


def test_nothing_is_wider_than_the_screen(at_guard: Seen, guard: GuardDouble) -> None:
    guard.status |= {"mode": "armed", "armed_until_ns": time.time_ns() + 40_000 * S}
    guard.status["waiting"] = [waiting("a/" + "x" * 150)]
    at_guard.view("Feedback")
    says(at_guard, "#mode-chip", "ARMED 11:06:")
    says(at_guard, ".card", "x" * 150)
    for width, height in ((3840, 2160), (1366, 768)):
        at_guard.tab.set_viewport_size({"width": width, "height": height})
        for where in ("#view-feedback", "#top"):
            element = f"document.querySelector('{where}')"
            assert at_guard.tab.evaluate(f"{element}.scrollWidth <= {width}")
