"""Feedback on the page: the guard, its proposals, hold and blank, the audit log."""

from __future__ import annotations

from scopeside.control.asking import who
from scopeside.dashboard.audit_asked import AuditAsked
from scopeside.dashboard.evidence import Evidence
from scopeside.dashboard.guard_asked import GuardAsked
from scopeside.dashboard.guard_watch import GuardWatch
from scopeside.dashboard.page import Page
from scopeside.dashboard.stops import Stops


class Feedback:
    """All of it, by its parts."""

    def __init__(self, page: Page) -> None:
        watch = GuardWatch(page)
        self.watch = watch
        self.stops = Stops(page, by_the_page)
        self.asked = GuardAsked(page, watch, by_the_page)
        self.audit = AuditAsked(page, watch)
        self.evidence = Evidence(page, watch)


def by_the_page() -> str:
    """Return who asks, as the audit log has it."""
    return f"{who()[:180]} on the page"
