"""Slots do not overlap, and what does not fit is refused before anything is taken."""

import contextlib
import errno
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition
from scopeside.errors import SlabError
from scopeside.slab import MIN_SLOTS, Layout, Slab, available_memory

MIB = 1 << 20


def open_files():
    """What memory of ours is open; other tests' sockets may be closed at any time."""
    found = Counter()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[str(link.readlink())] += 1
    return {name: count for name, count in found.items() if "scopeside-slab" in name}


@pytest.fixture
def slab():
    fd = Slab.allocate(MIB)
    yield Slab(fd, MIB, writable=True)
    os.close(fd)


def acquisition(height, width, dtype="<u2"):
    return Acquisition("a", (height, width), np.dtype(dtype))


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 600),
    st.integers(1, 600),
    st.sampled_from(["u1", "<u2", "<u4", "<f8"]),
    st.integers(4, 2048),
    st.none() | st.integers(1, 5000),
)
def test_slots_lie_beside_each_other_within_the_slab(h, w, dtype, kib, frames):
    shot = acquisition(h, w, dtype)
    assume(MIN_SLOTS * (shot.frame_bytes + 3 * 4096) <= 4 * MIB)
    layout = Layout.of(4 * MIB, shot, kib * 1024, frames)
    used = layout.pixels_at + layout.capacity * shot.frame_bytes
    assert layout.slots >= MIN_SLOTS
    assert layout.slots * layout.stride <= 4 * MIB
    assert 16 * layout.capacity <= layout.pixels_at
    assert used <= layout.stride
    assert layout.pixels_at % 64 == 0
    assert layout.stride % 4096 == 0
    assert 1 <= layout.capacity <= (frames or layout.capacity)
    assert layout.capacity == 1 or layout.capacity * shot.frame_bytes <= kib * 1024


def test_batches_get_smaller_so_that_four_of_them_fit():
    layout = Layout.of(4 * MIB, acquisition(256, 256, "u1"), MIB)
    assert layout.slots >= 4
    assert layout.capacity == 15


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_a_frame_that_is_too_large_says_how_much_it_needs(needed):
    large = acquisition(256 * needed, 512)
    with pytest.raises(
        SlabError,
        match=rf"{256 * needed}×512 uint16 needs \[slab\] mib of at least "
        rf"{needed + 1}; it is 1",
    ):
        Layout.of(MIB, large, MIB)
    assert Layout.of((needed + 1) * MIB, large, MIB).capacity == 1


def test_an_impossible_frame_is_refused_in_words():
    with pytest.raises(SlabError, match="needs"):
        Layout.of(MIB, acquisition(1 << 40, 1 << 40), MIB)


def test_more_than_the_machine_has_is_refused_before_it_is_taken():
    before = open_files()
    with pytest.raises(
        SlabError, match=r"the slab needs \d+ MiB.*smaller \[slab\] mib"
    ):
        Slab.allocate(1 << 50)
    assert open_files() == before


def test_what_cannot_be_reserved_is_given_back(monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    before = open_files()
    with pytest.raises(SlabError, match=r"cannot reserve 1 MiB .*: No space left"):
        Slab.allocate(MIB)
    assert open_files() == before


def test_nothing_has_a_name(slab):
    def names():
        return sorted(path.name for path in Path("/dev/shm").iterdir())

    before = names()
    fd = Slab.allocate(MIB)
    Slab(fd, MIB, writable=True)
    assert names() == before
    os.close(fd)


def test_what_one_mapping_writes_another_reads(slab):
    slab.view(4096, (2, 3), "<u2")[:] = [[1, 2, 3], [4, 5, 6]]
    other = Slab(slab.fd, MIB, writable=False)
    assert other.view(4096, (2, 3), "<u2").tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_reader_cannot_write(slab):
    view = Slab(slab.fd, MIB, writable=False).view(0, (4,), np.uint8)
    assert not view.flags.writeable


@pytest.mark.parametrize(
    ("offset", "shape"), [(-1, (1,)), (MIB, (1,)), (0, (MIB + 1,)), (MIB - 8, (3, 3))]
)
def test_a_view_beyond_the_slab_is_refused(slab, offset, shape):
    with pytest.raises(SlabError, match="outside the slab"):
        slab.view(offset, shape, np.uint8)


def test_views_of_neighbouring_slots_do_not_touch(slab):
    layout = Layout.of(MIB, acquisition(10, 7), 4096)
    ends = [
        (k * layout.stride, k * layout.stride + layout.stride)
        for k in range(layout.slots)
    ]
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
    assert ends[-1][1] <= MIB


def test_the_memory_of_this_machine_is_known():
    assert available_memory() > MIB
