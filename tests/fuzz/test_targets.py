"""Every parser, given what is nearly right: it refuses in its own words, or parses.

``SCOPESIDE_FUZZ=5`` looks for five minutes instead (`make fuzz`).
"""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from tests.fuzz.__main__ import main
from tests.fuzz.mutate import join, mutate, split
from tests.fuzz.registry import targets
from tests.fuzz.target import Target, TooMuchMemoryError, inputs

MINUTES = float(os.environ.get("SCOPESIDE_FUZZ", "0"))
TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_refuses_what_it_cannot_take_and_does_nothing_else(name):
    target = TARGETS[name]
    assert target.corpus

    @settings(
        max_examples=12,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def holds(data: bytes) -> None:
        target.check(data)

    holds()


@pytest.mark.skipif(not MINUTES, reason="SCOPESIDE_FUZZ says for how many minutes")
@pytest.mark.timeout(0)
def test_nothing_is_found_in_minutes(tmp_path):
    seconds = 60 * MINUTES / len(TARGETS)
    seed = str(Random().randrange(1 << 32))
    options = ["--seconds", str(seconds), "--keep", str(tmp_path), "--seed", seed]
    assert main(options) == 0


def test_parts_come_back_as_they_were_joined():
    parts = [b"", b"a", bytes(70_000)]
    assert split(join(parts)) == parts


def test_the_same_dice_make_the_same_changes():
    corpus = [b'{"a": [1, 2]}', bytes(range(200))]
    once, again = (
        [mutate(corpus[k % 2], Random(k), corpus) for k in range(200)] for _ in range(2)
    )
    assert once == again
    assert len(set(once)) > 100


# A target that could find nothing would be worse than none.


def test_an_error_that_is_not_allowed_is_found():
    target = Target("x", lambda data: 1 // (len(data) - 3), lambda: [b"ab"], ())
    with pytest.raises(ZeroDivisionError):
        target.check(b"abc")
    Target("x", target.run, target.make, (ZeroDivisionError,)).check(b"abc")


def test_room_that_is_not_paid_for_is_found():
    target = Target("x", lambda _: bytes(1 << 20), lambda: [b"ab"], (), base=1 << 16)
    with pytest.raises(TooMuchMemoryError, match="x took"):
        target.check(b"abc")


def test_a_finding_is_kept_and_told(tmp_path, monkeypatch, capsys):
    broken = Target("x", lambda data: data.index(b"never"), lambda: [b"never"], ())
    monkeypatch.setattr("tests.fuzz.__main__.targets", lambda: {"x": broken})
    assert main(["--seconds", "0.3", "--keep", str(tmp_path)]) == 1
    assert "ValueError" in capsys.readouterr().out
    assert main(["--list"]) == 0
    with pytest.raises(ValueError, match="not found"):
        main(["--target", "x", "--input", str(tmp_path / "x.1")])
