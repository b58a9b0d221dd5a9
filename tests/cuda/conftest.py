"""Cards for tests that must do without a GPU."""

import pytest
from tests.cuda.emulated import GXX, EmulatedCard

from scopeside.device.choose import gpu_problem
from scopeside.device.cupy_card import CupyCard
from scopeside.errors import DeviceFailedError


@pytest.fixture(scope="session")
def kernel_folder(tmp_path_factory):
    if GXX is None:
        pytest.skip("g++ is not installed, so the CUDA sources cannot be compiled")
    return str(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def card(kernel_folder):
    """A card that runs our CUDA sources; at the end all margins are whole."""
    card = EmulatedCard(kernel_folder)
    yield card
    assert all(memory.margin_is_whole for memory in card.memories)


@pytest.fixture(scope="session")
def real_card():
    """This machine's GPU."""
    why = gpu_problem()
    if why is None:
        try:
            return CupyCard(0)
        except DeviceFailedError as error:
            why = str(error)
    pytest.skip(f"not measured: {why}")
