"""A disk that fills up under HDF5 is an error, not the end of the process."""

from __future__ import annotations

import gc
import io

import numpy as np
import pytest

from scopeside_adapters.exports import hdf5_file
from scopeside_adapters.exports.hdf5_file import new_file

pytest.importorskip("h5py", reason="h5py is not installed")
ROOM = 200_000


class SmallDisk(io.FileIO):
    """Takes so many bytes, then half a write, then none."""

    left = ROOM

    def write(self, data):
        if not self.left:
            raise OSError(28, "No space left on device")
        part = memoryview(data)[: self.left]
        self.left -= len(part)
        return super().write(part)


def fill(path, told_of):
    with new_file(path, lambda *told: told_of.append(told)) as (file, told):
        # More than the library holds back, 1 or 8 MiB.
        data = file.create_dataset("data", (64, 512, 512), "u2", chunks=(1, 512, 512))
        for k in range(64):
            data[k] = np.full((512, 512), k)
            told(k + 1, 64)


def test_a_full_disk_is_raised_and_the_file_let_go_in_peace(tmp_path, monkeypatch):
    monkeypatch.setattr(
        hdf5_file.Path, "open", lambda path, *_, **__: SmallDisk(path, "w+")
    )
    seen = []
    with pytest.raises(OSError, match="No space left"):
        fill(tmp_path / "full.h5", seen)
    gc.collect()  # here the library has crashed the process
    assert 0 < len(seen) < 64


def test_ctrl_c_in_the_middle_of_a_write_is_raised_as_such(tmp_path, monkeypatch):
    class Interrupted(SmallDisk):
        def write(self, data):
            if not self.left:
                raise KeyboardInterrupt
            return super().write(data)

    monkeypatch.setattr(
        hdf5_file.Path, "open", lambda path, *_, **__: Interrupted(path, "w+")
    )
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "c.h5", [])
    gc.collect()


def test_what_fits_is_written(tmp_path):
    h5py = pytest.importorskip("h5py")
    seen = []
    fill(tmp_path / "fits.h5", seen)
    with h5py.File(tmp_path / "fits.h5") as file:
        assert file["data"][63, 0, 0] == 63
    assert seen[-1] == (64, 64)


def test_half_a_write_is_gone_on_with(tmp_path, monkeypatch):
    class Halves(io.FileIO):
        def write(self, data):
            return super().write(memoryview(data)[: max(1, len(data) // 2)])

    h5py = pytest.importorskip("h5py")
    monkeypatch.setattr(
        hdf5_file.Path, "open", lambda path, *_, **__: Halves(path, "w+")
    )
    fill(tmp_path / "h.h5", [])
    monkeypatch.undo()
    with h5py.File(tmp_path / "h.h5") as file:
        assert file["data"][:, 5, 5].tolist() == list(range(64))
