"""``[[control.rule]]``: when a result says so, propose an action."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Wish
from scopeside.params import Params


class RuleParams(Params):
    """A rule."""

    when: str
    """The result it looks at, as ``processor.result``."""
    propose: dict[str, Any]
    """The action and its fields."""


class Rule:
    """A policy made of a table."""

    Params: ClassVar[type[BaseModel]] = RuleParams

    def __init__(self, params: RuleParams) -> None:
        self._params = params

    @property
    def wants(self) -> tuple[str, ...]:
        """The result it looks at."""
        return (self._params.when,)

    def begin(self, acquisition: Acquisition) -> None:
        """Forget what was."""

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        """Not written yet."""
        raise NotImplementedError

    def told(self, outcome: Outcome) -> Iterable[Wish]:  # noqa: ARG002 - of the protocol
        """Ask for nothing more."""
        return ()
