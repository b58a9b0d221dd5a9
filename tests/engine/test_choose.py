"""Which device a chain gets."""

import pytest
from tests.cuda.emulated import EmulatedCard
from tests.engine.on_card import CardCounts
from tests.engine.small import Counts

from scopeside.device import choose as module
from scopeside.device.choose import choose, gpu_problem
from scopeside.device.cupy_card import CupyCard
from scopeside.errors import DeviceFailedError


@pytest.fixture
def there(monkeypatch):
    monkeypatch.setattr(module, "gpu_problem", lambda: None)


def opened(number):
    if number > 1:
        raise DeviceFailedError(f"there is no gpu:{number}")
    card = EmulatedCard()
    card.number = number
    return card


@pytest.mark.parametrize(("device", "number"), [("auto", 0), ("gpu", 0), ("gpu:1", 1)])
def test_a_card_that_is_there_is_taken(there, device, number):
    card, note = choose(device, [Counts, CardCounts], opened)
    assert card.number == number
    assert note is None


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_chain_that_cannot_use_one_opens_none(there, device):
    assert choose(device, [Counts], opened) == (None, None)


def test_a_gpu_for_processors_without_twins_is_told(there):
    card, note = choose("gpu", [Counts], opened)
    assert card is None
    assert "none of its processors has a GPU version" in note


def test_a_card_that_is_not_there_is_told_with_the_reason(there):
    card, note = choose("gpu:2", [CardCounts], opened)
    assert card is None
    assert "'gpu:2' cannot be had, the CPU does it all: there is no gpu:2" in note


def test_auto_says_nothing_of_a_card_that_does_not_open(there):
    def broken(number):
        raise DeviceFailedError("broken")

    assert choose("auto", [CardCounts], broken) == (None, None)


def test_without_cupy_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    assert "pip install 'scopeside[gpu12]'" in gpu_problem()


def test_a_card_without_cupy_is_one_of_our_errors(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(DeviceFailedError, match=r"scopeside\[gpu12\]"):
        CupyCard(0)
