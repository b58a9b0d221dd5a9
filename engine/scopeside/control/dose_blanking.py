"""How long blanking takes: what is reserved for it grows if it took longer."""

from __future__ import annotations


class BlankTime:
    """Watches how long the beam stays on after it has to be blanked.

    Attributes
    ----------
    blank_s
        What is reserved, s; it never shrinks.
    answered_ns
        When the instrument said that it has blanked; 0: it has not.
    """

    def __init__(self, blank_s: float) -> None:
        self.blank_s = blank_s
        self.answered_ns = 0
        self._since_ns = 0
        self._told = False

    def wanted(self, now_ns: int) -> None:
        """Take note that the beam has to be blanked; the first time counts."""
        if not self._since_ns:
            self._since_ns, self.answered_ns, self._told = now_ns, 0, False

    def unwanted(self) -> None:
        """Take note that it has not to be blanked any more."""
        self._since_ns = 0

    def read(self, t_ns: int, *, on: bool) -> str:
        """Take in whether the beam is on; return what people have to know, or "".

        What was never answered counts until it was seen.
        """
        if not self._since_ns or t_ns < self._since_ns:
            return ""
        ended_ns = t_ns if on else min(self.answered_ns or t_ns, t_ns)
        took_s = (ended_ns - self._since_ns) / 1e9
        since, self._since_ns = self.blank_s, self._since_ns if on else 0
        if took_s <= self.blank_s:
            return ""
        self.blank_s = took_s
        if on and self._told:
            return ""
        self._told = True
        what = "is still on" if on else "was on"
        return (
            f"the beam {what} {took_s:.3g} s after it had to be blanked; blank_s = "
            f"{since:.3g} s is too short, and grows for the rest of the run"
        )
