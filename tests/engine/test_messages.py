"""What is wrong with a table is said by key, in plain words."""

from enum import Enum
from pathlib import Path

import pytest
from pydantic import Field

from scopeside.errors import ConfigError
from scopeside.messages import unknown, validate
from scopeside.params import LocalPath, Params


class Colour(Enum):
    RED = "red"


class Inner(Params):
    radius_px: float = Field(1.0, gt=0, lt=10)
    on: bool = True


class Outer(Params):
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    names: dict[str, Inner] = {}
    few: tuple[int, ...] = Field((1,), min_length=1, max_length=2)
    colour: Colour = Colour.RED
    file: LocalPath | None = None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"inner": {"radius_px": 10}},
            r"^x\.inner\.radius_px: found 10; expected less than 10$",
        ),
        (
            {"inner": {"radius_px": "1 px"}},
            "found '1 px'; expected a number without quotes",
        ),
        ({"inner": {"on": "perhaps"}}, "found 'perhaps'; expected true or false"),
        ({"inner": 3}, r"x\.inner: found 3; expected a table: \[x\.inner\]"),
        (
            {"many": [{}, {"radius": 1}]},
            r"x\.many\[1\]\.radius: .*mean 'radius_px'\? \(known: on",
        ),
        ({"many": {}}, r"double brackets: \[\[x\.many\]\]"),
        ({"names": {"a": {"onn": 1}}}, r"x\.names\.a\.onn: key 'onn' is not known"),
        ({"few": []}, r"x\.few: found \[\]; expected 1 or more entries, not 0"),
        ({"few": [1, 2, 3]}, "expected 2 entries at most, not 3"),
        ({"few": 1}, r"x\.few: found 1; expected a list$"),
        (
            {"few": ["a"]},
            r"^x\.few\[0\]: found 'a'; expected a whole number without quotes",
        ),
        ({"colour": "green"}, "found 'green'; .*'red'"),
        ({"inner": {"radius_px": True}, "few": []}, r"x\.few"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values, says):
    with pytest.raises(ConfigError, match=says):
        validate(Outer, values, where="x")


def test_without_a_place_the_key_stands_alone():
    with pytest.raises(ConfigError, match=r"^inner\.on: found 5; "):
        validate(Outer, {"inner": {"on": 5}})


def test_what_is_right_comes_back_as_a_model():
    assert validate(Outer, {"inner": {"radius_px": 2}}).inner.radius_px == 2.0


def test_a_relative_path_is_taken_from_the_folder():
    found = validate(Outer, {"file": "mask.npy"}, folder=Path("/data"))
    assert found.file == Path("/data/mask.npy")
    assert validate(Outer, {"file": "/x.npy"}, folder=Path("/data")).file == Path(
        "/x.npy"
    )


def test_an_unknown_name_suggests_one_that_is_close():
    said = unknown("processor", "virtal", ["sum", "virtual"])
    assert said == (
        "processor 'virtal' is not known; did you mean 'virtual'? (known: sum, virtual)"
    )


def test_an_unknown_name_that_is_close_to_none_suggests_none():
    assert unknown("key", "zzz", []) == "key 'zzz' is not known (known: none)"
