"""``[[control.rule]]``: when a result says so, propose an action.

A rule is a policy that is written in the pipeline file and can be read aloud. It
computes nothing but a product and a sum; more than that is a `Policy` in Python.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.control.frame_place import Zoom, readback_of, view_offset_at
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Wish
from scopeside.control.reading import number_in, value_in
from scopeside.control.rule_settings import Between, RuleParams, Taken
from scopeside.result import Result

_REMEMBERED = 10_000


@dataclass(slots=True)
class _Switch:
    """Whether a threshold may fire, and for how many results it has been passed."""

    ready: bool = True
    passed: int = 0

    def fires(self, rule: RuleParams, value: float) -> bool:
        """Take in a value; return whether it is now that the rule fires."""
        sign = 1.0 if rule.above is not None else -1.0
        limit = rule.above if rule.above is not None else rule.below
        until = rule.until_below if rule.above is not None else rule.until_above
        assert limit is not None  # the settings see to that,
        assert until is not None  # and to this
        self.ready = self.ready or sign * value < sign * until
        self.passed = self.passed + 1 if sign * value > sign * limit else 0
        if not self.ready or self.passed < rule.frames:
            return False
        self.ready = False
        return True


class Rule:
    """Looks at one result, and proposes one action.

    A result that is invalid, or whose value is not known, never fires, and begins the
    count of `frames` anew; so does one that `where` leaves out, and one before which
    others were lost.
    """

    Params: ClassVar[type[BaseModel]] = RuleParams

    def __init__(self, params: RuleParams) -> None:
        self._params = params
        self._switches: dict[str, _Switch] = {}
        self._fired = False
        self._done: OrderedDict[Any, None] = OrderedDict()
        self._zoom = Zoom()

    @property
    def wants(self) -> tuple[str, ...]:
        """The result it looks at."""
        return (self._params.when,)

    def begin(self, acquisition: Acquisition) -> None:  # noqa: ARG002 - whichever it is
        """Forget which ones `once_per` has seen: ids begin anew.

        Whether a threshold is ready goes on: of a scan, results come once for each.
        """
        self._done.clear()
        self._zoom.begin()

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        """Return the wish if this result fires, and all that it needs is known.

        Raises
        ------
        ConfigError
            If the result is one that cannot have what the rule names.
        """
        self._zoom.see(microscope.now)
        if (self._params.once and self._fired) or not self._fires(seen):
            return ()
        fields = self._fields(seen, microscope)
        if fields is None:
            return ()
        self._note(seen.result)
        rule = self._params
        return (
            Wish(
                rule.propose.action,
                fields,
                self._why(seen.result),
                valid_for_s=rule.valid_for_s,
            ),
        )

    def told(self, outcome: Outcome) -> Iterable[Wish]:  # noqa: ARG002 - of the protocol
        """Ask for nothing more."""
        return ()

    def _fires(self, seen: Seen) -> bool:
        rule, result = self._params, seen.result
        switch = self._switches.setdefault(seen.chain, _Switch())
        if seen.missed:
            switch.passed = 0
        if not result.valid or not self._applies(result):
            switch.passed = 0
            return False
        if not rule.has_threshold:
            return self._is_new(result)
        value = number_in(result, rule.value)
        if value is None:
            switch.passed = 0
            return False
        return switch.fires(rule, value)

    def _applies(self, result: Result) -> bool:
        return all(
            _holds(wanted, value_in(result, key))
            for key, wanted in self._params.where.items()
        )

    def _is_new(self, result: Result) -> bool:
        """Whether `once_per` allows it; a key that is not known does not."""
        if not self._params.once_per:
            return True
        value = value_in(result, self._params.once_per)
        return isinstance(value, str | float | bool) and value not in self._done

    def _note(self, result: Result) -> None:
        """Remember that it has fired, now that there is a wish."""
        self._fired = True
        if self._params.once_per:
            self._done[value_in(result, self._params.once_per)] = None
            if len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)

    def _fields(self, seen: Seen, microscope: Knows) -> Mapping[str, Any] | None:
        propose = self._params.propose
        if propose.to is not None:
            y, x = number_in(seen.result, "y"), number_in(seen.result, "x")
            held = readback_of(seen, microscope)
            if y is None or x is None or held is None or self._zoom.unknown(held):
                return None
            return view_offset_at(seen.acquisition, held, (y, x))
        fields = {
            name: _taken(seen.result, source) if isinstance(source, Taken) else source
            for name, source in propose.fields.items()
        }
        return None if None in fields.values() else fields

    def _why(self, result: Result) -> str:
        """Return in words what made it fire, and what the person wrote."""
        rule = self._params
        said = [f"{key} = {_short(value_in(result, key))}" for key in rule.where]
        if rule.has_threshold:
            way, limit = "above", rule.above
            if limit is None:
                way, limit = "below", rule.below
            value = f"{value_in(result, rule.value):g} {way} {limit:g}"
            said.append(f"{rule.value} = {value}" if rule.value else value)
        text = f"{rule.when}: {', '.join(said)}" if said else rule.when
        return f"{text}; {rule.propose.why}"[:500] if rule.propose.why else text[:500]


def _holds(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Between):
        return wanted.holds(value)
    if isinstance(wanted, tuple):
        return any(_holds(one, value) for one in wanted)
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    return bool(wanted == value)


def _taken(result: Result, source: Taken) -> float | None:
    value = number_in(result, source.key)
    return None if value is None else value * source.times + source.plus


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value!s:.40}"
