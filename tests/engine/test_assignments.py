"""``KEY=VALUE`` on the command line is read as in a pipeline file."""

import pytest

from scopeside.cli.assignments import assignments
from scopeside.errors import ConfigError


def test_values_are_those_of_a_pipeline_file():
    settings = ["a=1", "b=[1, 2.5]", 'c="text"', "d.e={ disk = [1, 2, 3] }"]
    found = assignments([*settings, "f=plain", "g = x"], "a=1")
    assert found == {
        "a": 1, "b": [1, 2.5], "c": "text", "d.e": {"disk": [1, 2, 3]}, "f": "plain",
        "g": " x",
    }  # fmt: skip


@pytest.mark.parametrize("setting", ["a", "=1", " =1", ""])
def test_what_is_no_assignment_is_refused(setting):
    with pytest.raises(ConfigError, match="is no setting: expected KEY=VALUE, such as"):
        assignments([setting], "fps=1000")
