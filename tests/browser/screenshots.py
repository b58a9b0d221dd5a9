"""Pictures of each view, of engines that run: ``python -m tests.browser.screenshots``.

Starts the demonstrations and the example of feedback, each with its page, waits for a
good moment, and takes every view on the screen of a laptop and on a 4K one, dark, and
one of them light. What is wrong with the layout is said, and makes it fail.
"""

from __future__ import annotations

import argparse
import io
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tests.browser.chromium import a_chromium
from tests.browser.layout import SIZES, faults
from tests.browser.seen import Seen
from tests.system.engine_runs import Running, running, scopeside
from tests.system.page_seen import address, opened, token
from tests.system.test_wire_examples import free_endpoint

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
LARGEST = 300_000
"""Bytes of a picture for the documents; beyond, it gets 256 colours."""
SETTLED_MS = 1500
PATIENCE_S = 90.0

PAINTED = "paints.length > 2"
LAST = "paints.filter((one) => one.key.startsWith('stem.')).at(-1)?.share"
FILLED = f"{PAINTED} && {LAST} > 0.5 && {LAST} < 0.97"
HANDLES = f"{PAINTED} && document.querySelector('[data-shape] .dot') !== null"
HAPPENED = f"{PAINTED} && document.querySelector('.insitu [data-uid]') !== null"
JUDGED = "document.querySelector('#view-feedback canvas') !== null"
ROWS = "document.querySelectorAll('#view-health tr').length > 4"


@dataclass(frozen=True)
class Shot:
    """A picture: its name, the view, and what is true at a good moment."""

    name: str
    view: str
    good: str
    theme: str = "dark"


STEM = (
    Shot("images", "Images", FILLED),
    Shot("images_light", "Images", FILLED, "light"),
    Shot("steering", "Steering", HANDLES),
    Shot("health", "Health", ROWS),
)
INSITU = (Shot("insitu", "In situ", HAPPENED),)
FEEDBACK = (Shot("feedback", "Feedback", JUDGED),)


def main() -> int:
    """Take all pictures; return how many have faults."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--to", type=Path, default=PICTURES)
    names = [shot.name for shot in (*STEM, *INSITU, *FEEDBACK)]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    asked = parser.parse_args()
    bad = 0
    with a_chromium() as chromium:
        for engine, shots in ((demo, STEM), (movie, INSITU), (acting, FEEDBACK)):
            wanted = [shot for shot in shots if shot.name in asked.only]
            if wanted:
                with engine() as running_one:
                    bad += photographed(chromium, running_one, wanted, asked.to)
    return min(bad, 1)


def photographed(chromium: Any, engine: Running, shots: list[Shot], to: Path) -> int:
    """Take pictures of an engine's page; return how many faults they have."""
    seen = opened(chromium, f"{address(engine)}/#token={token(engine.folder)}")
    count = 0
    for shot in shots:
        seen.view(shot.view)
        seen.tab.evaluate(
            "(theme) => { if (document.documentElement.dataset.theme !== theme) "
            "document.getElementById('theme').click(); }",
            shot.theme,
        )
        for size in SIZES:
            count += taken(seen, shot, size, to)
    for complaint in seen.complaints:
        print(f"the browser complains: {complaint}")
    seen.tab.close()
    return count + len(seen.complaints)


def taken(seen: Seen, shot: Shot, size: str, to: Path) -> int:
    """Take one picture, and say what is wrong in it; return how much that is."""
    width, height = SIZES[size]
    seen.tab.set_viewport_size({"width": width, "height": height})
    seen.tab.evaluate("window.paints = []")
    seen.tab.wait_for_timeout(SETTLED_MS)
    good = waited(seen, shot.good)
    picture = seen.tab.screenshot()
    found = faults(seen.tab, size)
    found += [] if good else [f"taken at no good moment, {PATIENCE_S:.0f} s in vain"]
    folder = to if size == "1366" else to / size
    path = folder / f"page_{shot.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small(picture) if size == "1366" else picture)
    print(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")
    for fault in found:
        print(f"  {fault}")
    return len(found)


def waited(seen: Seen, good: str) -> bool:
    """Wait for a good moment; return whether there was one."""
    ends = time.monotonic() + PATIENCE_S
    while not (found := bool(seen.tab.evaluate(good))) and time.monotonic() < ends:
        seen.tab.wait_for_timeout(50)
    return found


def small(picture: bytes) -> bytes:
    """Return a PNG with 256 colours if it is too large with all of them."""
    if len(picture) <= LARGEST:
        return picture
    with Image.open(io.BytesIO(picture)) as image:
        fewer = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    out = io.BytesIO()
    fewer.save(out, "png", optimize=True)
    return out.getvalue()


@contextmanager
def demo() -> Iterator[Running]:
    """Scans of a polycrystal."""
    with started("demo", "--page", "0", "--headless") as engine:
        yield engine


@contextmanager
def movie() -> Iterator[Running]:
    """A liquid cell."""
    with started("demo", "--movie", "--page", "0", "--headless") as engine:
        yield engine


@contextmanager
def acting() -> Iterator[Running]:
    """The example of feedback, not armed: its proposals wait for a person."""
    text = (ROOT / "examples" / "feedback.toml").read_text()
    text = text.replace("tcp://127.0.0.1:7799", free_endpoint())
    with started(
        "run", "feedback.toml", "--page", "0", "--headless", text=text
    ) as engine:
        engine.until(lambda s: s.get("control", {}).get("connected"), "was connected")
        said = scopeside(engine.folder, "advise")
        assert said.returncode == 0, said.stdout + said.stderr
        yield engine


@contextmanager
def started(*arguments: str, text: str = "") -> Iterator[Running]:
    """An engine in a folder of its own, which is ended cleanly."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        if text:
            Path(folder, arguments[1]).write_text(text)
        with running(Path(folder), *arguments) as engine:
            yield engine
            engine.process.send_signal(signal.SIGTERM)
            engine.wait()


if __name__ == "__main__":
    sys.exit(main())
