"""What a detector says of itself, where it is nonsense."""

import pytest

from scopeside_adapters.dectris.simplon import Simplon


@pytest.fixture
def simplon():
    with Simplon("127.0.0.1", 1, "it", 1.0) as one:
        yield one


def saying(monkeypatch, **values):
    def value(_, module, task, key):
        return values[key]

    monkeypatch.setattr(Simplon, "value", value)


def test_the_size_of_an_image_is_that_of_its_sides_and_bits(simplon, monkeypatch):
    sides = {"x_pixels_in_detector": 4, "y_pixels_in_detector": 3}
    saying(monkeypatch, **sides, bit_depth_image=16)
    assert simplon.frame_bytes() == 24


# Found by fuzzing: infinity, which JSON can say here, is no whole number.
@pytest.mark.parametrize("side", [float("inf"), "many", None, -3, 0, 1 << 40])
def test_a_size_that_cannot_be_is_not_known(simplon, monkeypatch, side):
    sides = {"x_pixels_in_detector": side, "y_pixels_in_detector": 3}
    saying(monkeypatch, **sides, bit_depth_image=16)
    assert simplon.frame_bytes() is None
