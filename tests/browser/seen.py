"""What a person at the page would see, and what the browser complains of."""

from __future__ import annotations

import time
from typing import Any

PATIENCE_S = 20.0


class Seen:
    """A tab; `tab` is Playwright's page.

    Attributes
    ----------
    complaints
        Errors of scripts, and requests that failed: a test that expects one takes it
        out.
    """

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.complaints: list[str] = []
        tab.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        tab.on(
            "requestfailed",
            lambda asked: self.complaints.append(f"failed: {asked.url}"),
        )

    def view(self, name: str) -> None:
        """Go to a view, as by a click on its tab."""
        self.tab.get_by_role("tab", name=name).click()

    def until(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true, and return its value.

        Playwright's own `wait_for_function` compiles text in the page, which the page
        forbids (no ``unsafe-eval``).
        """
        ends = time.monotonic() + PATIENCE_S
        while not (found := self.tab.evaluate(expression)):
            assert time.monotonic() < ends, f"never came true: {expression}"
            self.tab.wait_for_timeout(20)
        return found
