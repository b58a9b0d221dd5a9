"""docs/guard.md says what the guard does."""

import re
import tomllib
from pathlib import Path

from scopeside.control.checks import CAUSES
from scopeside.control.evidence import AHEAD_NS, MS
from scopeside.control.remembered import MAX_IDS
from scopeside.control.requests import MAX_ARM_S
from scopeside.control.settings import ControlSettings, FieldLimits

PAGE = Path(__file__).parents[2] / "docs/guard.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_cause_is_documented_and_no_other():
    documented = set(re.findall(r"^\| `([a-z_]+)` \| ", TEXT, re.MULTILINE))
    assert set(CAUSES) <= documented
    assert documented - set(CAUSES) <= {
        *FieldLimits.model_fields,
        *("every_s", "observe", "advise", "armed"),
    }


def test_every_cause_that_the_code_gives_is_in_the_list():
    folder = PAGE.parents[1] / "engine/scopeside/control"
    names = "judge evidence limits guard persons proposals requests remembered sending"
    code = "".join(
        (folder / f"{name}.py").read_text(encoding="utf-8")
        for name in [*names.split(), "beam", "actions", "proposal"]
    )
    given = set(re.findall(r'failed\("\w+", "(\w+)"', code))
    given |= set(re.findall(r'Error\([^()]*(?:\([^()]*\)[^()]*)*, "(\w+)"', code))
    given |= set(re.findall(r'Ruled\("(?:refused|failed)", "(\w+)"', code))
    given |= set(re.findall(r'park\("(\w+)"', code))
    assert len(given) >= 25
    assert given <= set(CAUSES)


def test_the_example_is_valid_and_its_keys_exist():
    (block,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    settings = ControlSettings.model_validate(tomllib.loads(block)["control"])
    assert settings.limits["set_beam_shift"].fields["x_m"].step == 1e-7
    named = set(re.findall(r"`([a-z]+_(?:ms|s|unblank|confidence))`", TEXT))
    assert named - {"every_s", "low_confidence"} <= set(ControlSettings.model_fields)


def test_the_numbers_are_those_of_the_code():
    assert f"more than {AHEAD_NS / MS:g} ms ahead" in TEXT
    assert f"({MAX_IDS} are remembered)" in TEXT
    assert f"at most {MAX_ARM_S / 3600:g} hours" in TEXT
    assert "It is no safety system." in TEXT
