"""What a person at the page would see, and what the browser complains of."""

from __future__ import annotations

from typing import Any


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
