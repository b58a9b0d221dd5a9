"""``scopeside watch``: live results in the terminal."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.live import Live

from scopeside.cli.gallery import Gallery, beside, state_of
from scopeside.subscribe import Subscription, subscribe

REFRESH_S = 0.25
POLL_S = 0.1


def watch_command(
    endpoint: str | None,
    *,
    topic: str,
    seconds: float | None,
    headless: bool,
    keys: Path | None = None,
) -> int:
    """Show results until Ctrl-C, for `seconds`, or until the engine is gone."""
    console = Console(highlight=False)
    live = console.is_terminal and not headless
    with subscribe(endpoint, topic, timeout=POLL_S, keys=keys) as subscription:
        gallery = Gallery()
        try:
            if live:
                _watch_live(console, subscription, gallery, seconds)
            else:
                _watch_plain(console, subscription, seconds)
        except KeyboardInterrupt:
            console.print("stopped watching")
        if subscription.engine_has_ended:
            console.print("the engine has ended")
    if not subscription.heard:
        console.print(f"nothing was published at {subscription.endpoint}")
    if subscription.missed:
        console.print(
            f"{subscription.missed} results were published faster than shown here"
        )
    return 0


def _goes_on(subscription: Subscription, began: float, seconds: float | None) -> bool:
    in_time = seconds is None or time.monotonic() - began < seconds
    return in_time and not subscription.engine_has_ended


def _watch_live(
    console: Console,
    subscription: Subscription,
    gallery: Gallery,
    seconds: float | None,
) -> None:
    began = drawn = time.monotonic()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while _goes_on(subscription, began, seconds):
            for result in subscription:
                gallery.add(result)
                if time.monotonic() - drawn > REFRESH_S:
                    break
            live.update(gallery.draw(console.width, console.height), refresh=True)
            # Counted from the end of drawing: results come while it is drawn, and a
            # slow terminal must not make the picture fall behind.
            drawn = time.monotonic()


def _watch_plain(
    console: Console, subscription: Subscription, seconds: float | None
) -> None:
    began = time.monotonic()
    while _goes_on(subscription, began, seconds):
        for result in subscription:
            shown = result.data
            if isinstance(shown, np.ndarray):
                shape = "×".join(str(n) for n in shown.shape)
                shown = f"{shape} {shown.dtype}, sum {shown.sum():.10g}"
            console.print(
                f"{result.meta.get('acq')} {result.meta.get('chain')}."
                f"{result.meta.get('processor')}.{result.name}: {shown} "
                f"({state_of(result)}) {beside(result)}".rstrip(),
                markup=False,
                soft_wrap=True,
            )
            if seconds is not None and time.monotonic() - began >= seconds:
                break
