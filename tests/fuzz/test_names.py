"""No name that a stranger chooses leads out of the folder where its file belongs."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ShapeError
from scopeside.ingest import quarantine
from scopeside.security.keys import checked_name

_LETTERS = 'abAZ09._-/\\:*?"<>| \0\n\u2028é²\u202e~$%'
NAMES = st.text(st.sampled_from(_LETTERS), max_size=70)


def taken(name: str) -> bool:
    try:
        Acquisition(name, (4, 6), np.dtype("<u2"))
    except ShapeError:
        return False
    return True


@given(NAMES)
@example("..")
@example(".hidden")
@example("-rf")
@example("a/../b")
@example("a\n")
@example("CON")
@example("nul.txt")
@example("com1")
@example("a.")
@example("²")
def test_an_id_that_is_taken_is_one_plain_file_name_everywhere(name):
    if not taken(name):
        return
    assert name.isascii()
    assert Path(name).name == name
    assert PureWindowsPath(name).name == name
    assert not PureWindowsPath(name).is_reserved()
    assert name[0] not in ".-~"
    assert not name.endswith((".", " "))
    assert len(name) <= 64
    assert len((Path("/runs") / name).relative_to("/runs").parts) == 1


@pytest.mark.parametrize(
    "name", ["a", "2026-01-31T10.15.00_x", "A" * 64, "con1", "x.y"]
)
def test_ordinary_ids_are_taken(name):
    assert taken(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "a\x00",
        "a\n",
        "C:a",
        "A" * 65,
        "a.",
        "a b",
        "con",
        "CON",
        "PRN.x",
        "aux",
        "nul",
        "COM1",
        "lpt9.y",
        "ä",
    ],
)
def test_ids_that_are_none_are_refused(name):
    assert not taken(name)


@given(NAMES)
def test_a_key_has_a_plain_file_name(name):
    try:
        checked_name(name)
    except ValueError:
        return
    assert Path(f"{name}.key").name == f"{name}.key"
    assert name.isascii()
    assert name[0] not in ".-~"


def test_a_batch_that_is_put_aside_lies_in_its_folder(tmp_path):
    index = np.array([1 << 62], np.int64)
    batch = Batch(np.zeros((1, 2, 2), "u1"), index, index, 3)
    path = quarantine.write(tmp_path, "a", "chain", batch)
    assert path.parent == tmp_path
