"""The page as a whole: it opens, and paints what it hears."""

from __future__ import annotations

import time

import numpy as np
import pytest
from tests.browser.seen import Seen

from scopeside.dashboard.parts import Dashboard
from scopeside.result import Result

pytestmark = pytest.mark.browser


def image(name: str, data: np.ndarray) -> Result:
    now = time.time_ns()
    meta = {"acq": "scan-1", "chain": "stem", "processor": "virtual", "params": 1}
    times = {"t_frame_ns": now, "t_published_ns": now}
    return Result(name, data, frame=9, first=0, used=10, expected=10, meta=meta | times)


def test_an_image_is_painted_as_soon_as_it_is_heard(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear(image("bf", np.arange(64, dtype=np.int64).reshape(8, 8)))
    seen.until("document.querySelector('canvas')?.width === 8")
