"""Ages where a clock is wrong, or a tab has slept."""

from __future__ import annotations

from typing import Any

import pytest
from tests.browser.seen import Seen

pytestmark = pytest.mark.browser

# A socket that a test speaks through, and clocks that it sets: wall (Date.now) and run
# (performance.now), ms. `beat` says what the server's clock was when it was sent.
STAGE = """
(acts) => {
  const kept = [window.WebSocket, Date.now, performance.now, window.setInterval];
  let wall = 1e12, run = 0, socket = null, check = null;
  window.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    constructor() { socket = this; }
    send() {}
    close() {}
  };
  Date.now = () => wall;
  performance.now = () => run;
  window.setInterval = (f) => { check = f; };
  try {
    const live = new scopeside.live.constructor();
    live.start();
    socket.onopen();
    socket.onmessage({ data: JSON.stringify({ hello: { page: "p", version: "v" } }) });
    const found = [];
    for (const { after = 0, set = 0, beat = null } of acts) {
      wall += after + set;
      run += after;
      check();
      check(); // the first one after a pause only takes note of it
      const said = JSON.stringify({ beat: 1e12 + beat });
      if (beat !== null) socket.onmessage({ data: said });
      found.push({ ahead: live.clockAheadMs, state: live.state });
    }
    return found;
  } finally {
    [window.WebSocket, Date.now, performance.now, window.setInterval] = kept;
  }
}
"""
HOUR = 3_600_000


def played(seen: Seen, *acts: dict[str, int]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = seen.tab.evaluate(STAGE, list(acts))
    return found


def test_beats_that_were_held_up_for_an_hour_make_nothing_look_new(seen: Seen) -> None:
    late = [{"beat": k} for k in range(1000, 9000, 1000)]
    found = played(seen, {"beat": 0}, {"after": HOUR}, *late)
    assert {one["ahead"] for one in found} == {0}


@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_clock_that_is_minutes_off_from_the_start_changes_no_age(
    seen: Seen, minutes: int
) -> None:
    off = minutes * 60_000
    acts = [{"beat": 1000 * k - off, "after": 1000 * (k > 0)} for k in range(4)]
    assert {one["ahead"] for one in played(seen, *acts)} == {off}


def test_a_clock_that_is_set_forward_is_known_after_a_few_beats(seen: Seen) -> None:
    acts = [{"beat": 1000 * k, "after": 1000} for k in range(1, 5)]
    found = played(seen, {"beat": 0}, {"set": 2000}, *acts)
    assert [one["ahead"] for one in found] == [0, 0, 0, 0, 0, 2000]


def test_a_clock_that_is_set_back_is_known_at_once_and_hides_no_silence(
    seen: Seen,
) -> None:
    silence = [{"after": 1000}] * 5
    found = played(seen, {"beat": 0}, {"set": -HOUR}, *silence)
    assert found[-1]["state"] == "lost"
    assert played(seen, {"beat": 0}, {"set": -HOUR, "beat": 0})[-1]["ahead"] == -HOUR
