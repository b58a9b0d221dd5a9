"""Plug-ins are found by entry point or by name, and say what they lack."""

import sys

import pytest

from scopeside.errors import PluginError
from scopeside.plugins import (
    DETECTORS,
    PROCESSORS,
    detector_class,
    import_error,
    installed,
    look_in,
    processor_class,
)
from scopeside.processor import Order


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    look_in(tmp_path)
    return tmp_path


def test_ours_are_found_by_entry_point():
    assert {"sum", "virtual"} <= set(installed(PROCESSORS))
    assert {"file", "simulator", "zmq"} <= set(installed(DETECTORS))


def test_a_processor_is_loaded_by_its_name():
    assert processor_class("sum").order is Order.ANY


def test_a_processor_of_ones_own_is_loaded_by_module_and_class():
    assert processor_class("tests.engine.small:Trail").__name__ == "Trail"


def test_a_detector_of_ones_own_is_loaded_by_module_and_class():
    assert detector_class("tests.engine.small:Nothing").__name__ == "Nothing"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("vitrual", "'vitrual' is not known; did you mean 'virtual'"),
        ("nowhere:X", "does not load: ModuleNotFoundError: No module named 'nowhere'"),
        ("tests.engine.small:X", "does not load: AttributeError: .* no attribute 'X'"),
        (
            "tests.engine.small:Lacking",
            "'tests.engine.small:Lacking' lacks results, snap",
        ),
        (
            "tests.engine.small:Unmergeable",
            "lacks merge, which order = Order.ANY needs",
        ),
        (
            "tests.engine.small:Misordered",
            "has order = 'any'; it is Order.ANY, Order.ORDERED or Order.KEYED",
        ),
        (
            "tests.engine.small:Forgetful",
            "lacks context, resume, which order = Order.KEYED needs",
        ),
        ("tests.engine.small:scan", "lacks Params, order, process"),
        ("a b:", "is not 'package.module:Class'"),
        (":", "is not 'package.module:Class'"),
        ("..mine:Peaks", "is not 'package.module:Class'"),
    ],
)
def test_a_processor_that_cannot_be_used_says_why(kind, says):
    with pytest.raises(PluginError, match=says):
        processor_class(kind)


def test_a_detector_that_lacks_something_says_what():
    with pytest.raises(PluginError, match=r"detector .*Counts' lacks run, check"):
        detector_class("tests.engine.small:Counts")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
    ],
    ids=["syntax", "runtime", "import"],
)
def test_a_module_that_fails_says_how(folder, code, says, request):
    name = f"plug_in_{request.node.callspec.id}"
    (folder / f"{name}.py").write_text(code)
    with pytest.raises(PluginError, match=f"'{name}:X' does not load: .*{says}"):
        processor_class(f"{name}:X")


def test_a_folder_is_looked_in_once(folder):
    look_in(folder)
    assert sys.path.count(str(folder)) == 1


def test_why_a_module_cannot_be_imported():
    assert import_error("json") is None
    assert "nothing_of_that_name" in import_error("nothing_of_that_name")
