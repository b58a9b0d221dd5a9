"""A test of the laws of a control adapter, for those who write one.

>>> check_instrument(make, [Call("set_defocus", {"defocus_m": 1e-6})])

An AssertionError says which law is broken.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from scopeside.control.actions import ACTIONS, targets
from scopeside.control.instrument import Call, Instrument, Readback
from scopeside.errors import InstrumentError

PATIENCE_S = 30.0
"""For the busy connection to come back, after which it is told that it hangs."""
HEAD_START_S = 0.1
"""For a command to reach the instrument before the blank is sent."""

Make = Callable[[], Instrument]


def check_instrument(
    make: Make,
    calls: Sequence[Call],
    *,
    tolerance: Mapping[str, float] | None = None,
    busy: Call | None = None,
) -> None:
    """Test that a control adapter keeps the laws of `scopeside.control.instrument`.

    Parameters
    ----------
    make
        Returns a new connection, not opened, to one and the same instrument.
    calls
        What the instrument can do, at least one call for each of its actions, and
        each such that it changes something. ``blank`` is tried without being told.
    tolerance
        By quantity: how far the value read back may lie from the one set; exact where
        it does not say.
    busy
        A call that takes a second or so, during which another connection can blank.
        None for an instrument that does one thing after another: its page has to say
        so, for then a blank is late.
    """
    _actions_are_known_before(make)
    _nothing_is_asked_of_what_is_not_open(make, calls[0])
    _it_can_be_closed_and_opened_again(make)
    _reading_changes_nothing(make)
    _what_was_set_is_read_back(make, calls, tolerance or {})
    _what_is_not_offered_is_refused(make)
    _what_is_no_field_of_it_is_refused(make, calls)
    _two_connections_see_the_same(make, calls, tolerance or {})
    if "blank" in make().actions:
        _blank_is_read_back(make)
        if busy is not None:
            _blank_works_while_busy(make, busy)


@contextmanager
def opened(make: Make) -> Iterator[Instrument]:
    """Lend a connection that is open, and close it."""
    instrument = make()
    instrument.open()
    try:
        yield instrument
    finally:
        instrument.close()


# Laws --------------------------------------------------------------------------------


def _actions_are_known_before(make: Make) -> None:
    instrument = make()
    strange = sorted(set(instrument.actions) - set(ACTIONS))
    _hold(not strange, f"actions are of the vocabulary; {strange} are not")
    _hold(bool(instrument.actions), "an instrument can do something")
    problems = instrument.check()
    _hold(
        all(isinstance(one, str) for one in problems),
        "check() returns sentences, before the instrument is opened",
    )
    instrument.close()


def _nothing_is_asked_of_what_is_not_open(make: Make, call: Call) -> None:
    instrument = make()
    _raises(instrument.read, "read() before open()")
    _raises(lambda: instrument.act(call), "act() before open()")


def _it_can_be_closed_and_opened_again(make: Make) -> None:
    instrument = make()
    instrument.close()
    for _ in range(2):
        instrument.open()
        _readback(instrument)
        instrument.close()
        instrument.close()
    _raises(instrument.read, "read() after close()")


def _reading_changes_nothing(make: Make) -> None:
    with opened(make) as instrument:
        before = time.time_ns()
        first, second = _readback(instrument), _readback(instrument)
        _same(first, second, "reading changes nothing")
        _hold(
            before <= first.t_ns <= second.t_ns <= time.time_ns(),
            "t_ns says when the instrument was asked",
        )


def _what_was_set_is_read_back(
    make: Make, calls: Sequence[Call], tolerance: Mapping[str, float]
) -> None:
    with opened(make) as instrument:
        tried = {call.action for call in calls} | {"blank"}
        untried = sorted(set(instrument.actions) - tried)
        _hold(not untried, f"every action is tried; there is no call of {untried}")
        for call in calls:
            answer = instrument.act(call)
            _hold(_is_plain(answer), f"the answer to {call.action} is plain: {answer}")
            _is_set(call, _readback(instrument), tolerance)


def _what_is_not_offered_is_refused(make: Make) -> None:
    with opened(make) as instrument:
        before = _readback(instrument)
        for name in (*sorted(set(ACTIONS) - instrument.actions), "explode", ""):
            fields = (
                {field.name: 0.0 for field in ACTIONS[name].fields}
                if (name in ACTIONS)
                else {}
            )
            call = Call(name, fields)
            _refuses(instrument, call)
        _same(before, _readback(instrument), "what is refused changes nothing")


def _what_is_no_field_of_it_is_refused(make: Make, calls: Sequence[Call]) -> None:
    with opened(make) as instrument:
        before = _readback(instrument)
        for call in calls:
            wrong = Call(call.action, {**call.fields, "volume_dB": 11.0})
            _refuses(instrument, wrong)
            for name, value in call.fields.items():
                if isinstance(value, float):
                    wrong = Call(call.action, {**call.fields, name: math.nan})
                    _refuses(instrument, wrong)
        _same(before, _readback(instrument), "what is refused changes nothing")


def _two_connections_see_the_same(
    make: Make, calls: Sequence[Call], tolerance: Mapping[str, float]
) -> None:
    with opened(make) as one, opened(make) as other:
        for call in calls:
            one.act(call)
            _is_set(call, _readback(other), tolerance)
        _same(_readback(one), _readback(other), "two connections see the same")


def _blank_is_read_back(make: Make) -> None:
    with opened(make) as one, opened(make) as other:
        for on in (True, False, True, True, False):
            call = Call("blank", {"on": on})
            one.act(call)
            _is_set(call, _readback(one), {})
            _is_set(call, _readback(other), {})


def _blank_works_while_busy(make: Make, busy: Call) -> None:
    with opened(make) as one, opened(make) as other:
        failed: list[BaseException] = []
        thread = threading.Thread(target=_act, args=(one, busy, failed), daemon=True)
        thread.start()
        thread.join(HEAD_START_S)
        other.act(Call("blank", {"on": True}))
        still = thread.is_alive()
        blanked = _readback(other).values.get("blanked")
        thread.join(PATIENCE_S)
        _hold(not thread.is_alive(), f"{busy.action} comes back")
        _hold(still, f"a blank does not wait until {busy.action} is done")
        _hold(blanked in {True, None}, "the beam is blanked when blank has returned")
        if busy.action != "place_beam":  # a blank puts an end to that one
            _hold(not failed, f"a blank does not disturb {busy.action}: {failed}")
        other.act(Call("blank", {"on": False}))


# What they are made of ---------------------------------------------------------------


def _act(instrument: Instrument, call: Call, failed: list[BaseException]) -> None:
    try:
        instrument.act(call)
    except InstrumentError as error:
        failed.append(error)


def _readback(instrument: Instrument) -> Readback:
    found = instrument.read()
    _hold(_is_plain(found.values), f"a read-back is plain values: {found.values}")
    return found


def _is_set(call: Call, found: Readback, tolerance: Mapping[str, float]) -> None:
    """Hold that what was set is read back, where the instrument says it at all."""
    for quantity, wanted in targets(call.action, call.fields).items():
        if quantity not in found.values:
            continue
        value = found.values[quantity]
        if isinstance(wanted, bool) or isinstance(value, str | bool):
            kept = value == wanted
        else:
            kept = abs(value - wanted) <= tolerance.get(quantity, 0.0)
        _hold(kept, f"{call.action} set {quantity} to {wanted}; it reads {value}")


def _same(one: Readback, other: Readback, law: str) -> None:
    differ = {
        name: (one.values.get(name), other.values.get(name))
        for name in {*one.values, *other.values}
        if one.values.get(name) != other.values.get(name)
    }
    _hold(not differ, f"{law}: {differ}")


def _is_plain(values: Any) -> bool:
    """Whether these are names with finite numbers, words, true or false."""
    return isinstance(values, Mapping) and all(
        isinstance(name, str)
        and (
            isinstance(value, str | bool)
            or (type(value) in (int, float) and math.isfinite(value))
        )
        for name, value in values.items()
    )


def _raises(what: Callable[[], Any], words: str) -> None:
    try:
        what()
    except InstrumentError as error:
        _hold(bool(str(error)), f"{words}: the error says why")
    else:
        _hold(kept=False, law=f"{words} raises InstrumentError")


def _refuses(instrument: Instrument, call: Call) -> None:
    _raises(lambda: instrument.act(call), f"{call}"[:200])


def _hold(kept: bool, law: str) -> None:
    """Raise an AssertionError that says the law unless it is `kept`."""
    if not kept:
        raise AssertionError(f"law: {law}")
