"""The card through CuPy: its calls, on a CuPy that does without a GPU."""

import sys

import numpy as np
import pytest
from tests.cuda.fake_cupy import fake_cupy
from tests.cuda.test_processors import CASES, case_of

from scopeside.device.cupy_card import CupyCard
from scopeside.errors import DeviceFailedError
from scopeside.testing import devices_agree


@pytest.fixture
def cupy(card, monkeypatch):
    module = fake_cupy(card)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.mark.parametrize("name", CASES)
def test_processors_give_what_they_give_on_the_cpu(cupy, card, name):
    devices_agree(case_of(name, "<u2"), CupyCard(0))
    assert "launch" in card.calls


def test_a_card_says_who_it_is(cupy):
    card = CupyCard(0)
    assert card.name == "gpu:0 (NVIDIA Fake)"
    assert card.processors == 2


def test_a_number_beyond_the_cards_is_refused(cupy):
    with pytest.raises(DeviceFailedError, match=r"no gpu:3; this machine has 1 GPU"):
        CupyCard(3)


def test_a_machine_without_a_card_is_refused_with_cudas_words(cupy, card, monkeypatch):
    none = fake_cupy(card, cards=0)
    monkeypatch.setitem(sys.modules, "cupy", none)
    with pytest.raises(DeviceFailedError, match="cudaErrorNoDevice"):
        CupyCard(0)


def test_memory_is_locked_and_let_go(cupy, card):
    on_gpu, memory = CupyCard(0), np.zeros(4096, np.uint8)
    on_gpu.register(memory.ctypes.data, 4096)
    assert card.registered == {memory.ctypes.data: 4096}
    on_gpu.unregister(memory.ctypes.data)
    assert card.registered == {}


def test_what_cupy_raises_is_one_of_our_errors(cupy, card):
    on_gpu = CupyCard(0)
    card.fails["memory"] = 0
    with pytest.raises(DeviceFailedError, match="gpu:0: allocating 512 bytes"):
        on_gpu.memory(512)
