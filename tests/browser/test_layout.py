"""No view overlaps, cuts off or shrinks what it says, on a laptop and on 4K."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser.layout import SIZES, faults
from tests.browser.seen import Seen
from tests.browser.test_feedback import LIMITS, waiting
from tests.browser.test_images import frame_of, hear_a_scan, painted, result, until_told
from tests.browser.test_insitu import Movie, open_with_a_nucleus
from tests.browser.test_steering import Engine
from tests.engine.guard_double import guard_in
from tests.engine.well import changed

from scopeside.dashboard.parts import Dashboard

pytestmark = pytest.mark.browser

SETTLED = """(async () => {
  for (let i = 0; i < 8; i += 1) await new Promise((go) => requestAnimationFrame(go));
  return true;
})()"""

Fill = Callable[[Seen, Dashboard, Path], Any]


def images(seen: Seen, served: Dashboard, _folder: Path) -> None:
    hear_a_scan(served)
    served.page.hear(frame_of(2, 3, 7))
    meta = {"columns": ["r", "mean", "largest"], "units": ["px", "counts", "counts"]}
    rows = np.arange(300.0).reshape(100, 3)
    served.page.hear(result("view.radial.profile", rows, "table", meta=meta))
    until_told(seen, served, "view.radial.profile")
    seen.tab.locator(".series-plot .bk-Figure").wait_for()
    painted(seen, 5)
    seen.tab.locator("[data-key='stem.virtual.bf'] .stage").hover()
    seen.tab.get_by_text("exactly").or_(seen.tab.get_by_text("away")).wait_for()


def steering(seen: Seen, served: Dashboard, folder: Path) -> None:
    engine = Engine(served, folder)
    right = {"segment": [31.25, 31.25, 12.5, 24.75, 315.0, 45.0]}
    engine.params["detectors"] = {**engine.params["detectors"], "right": right}
    engine.start()
    seen.view("Steering")
    seen.tab.locator("[data-shape=bf] [data-handle=r] .dot").wait_for()
    seen.tab.locator("[data-key='detectors.right.segment'] .unit").wait_for()


def insitu(seen: Seen, served: Dashboard, _folder: Path) -> None:
    movie = Movie(served)
    movie.status()
    open_with_a_nucleus(seen, movie)


def health(seen: Seen, served: Dashboard, _folder: Path) -> None:
    served.page.hear_status(changed("record/disk_mb_per_s", 42.5))
    seen.view("Health")
    seen.until("document.querySelectorAll('#view-health tr').length > 4")


def free_of_faults(seen: Seen, size: str) -> list[str]:
    width, height = SIZES[size]
    seen.tab.set_viewport_size({"width": width, "height": height})
    seen.tab.evaluate(SETTLED)
    return faults(seen.tab, size)


@pytest.mark.parametrize("fill", [images, steering, insitu, health])
def test_nothing_overlaps_and_nothing_is_cut(
    fill: Fill, seen: Seen, served: Dashboard, tmp_path: Path
) -> None:
    fill(seen, served, tmp_path)
    assert {size: free_of_faults(seen, size) for size in SIZES} == {
        size: [] for size in SIZES
    }


def test_nothing_overlaps_where_a_proposal_waits(
    seen: Seen, served: Dashboard, short_path: Path
) -> None:
    with guard_in(short_path / "scopeside" / "1-a") as guard:
        guard.status |= {"ceiling": "armed", "limits": LIMITS, "last": []}
        guard.status |= {"waiting": [waiting()]}
        served.page.attached(guard.folder)
        seen.view("Feedback")
        seen.tab.locator("#view-feedback").get_by_text("set_fov").first.wait_for()
        assert {size: free_of_faults(seen, size) for size in SIZES} == {
            size: [] for size in SIZES
        }
