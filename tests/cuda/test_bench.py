"""``bench/gpu.py`` runs: without a GPU it says so, on a card it finds no difference."""

import ctypes
import json

import pytest
from bench import gpu


def copy(to, source, size, stream):
    stream.todo.append(lambda: ctypes.memmove(to, source, size))


def test_without_a_gpu_nothing_is_measured_and_all_is_well(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(gpu, "gpu_problem", lambda: "this machine has no NVIDIA GPU")
    assert gpu.main(["--json", str(tmp_path / "found.json")]) == 0
    said = capsys.readouterr().out
    assert "not measured" in said
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["device"] == "not measured: this machine has no NVIDIA GPU"
    assert all(one["stack_bytes"] == 0 for one in found["kernels"])


def test_every_path_is_checked(card, monkeypatch):
    monkeypatch.setattr(gpu, "rings", lambda side: {"bf": {"disk": [9, 9, 5]}})
    found = gpu.checked(card)
    assert len(found) == 24
    assert set(found.values()) == {"same"}


@pytest.mark.parametrize("code", ["<u2", "<f4"])
def test_what_is_measured_has_a_number(card, monkeypatch, code):
    monkeypatch.setattr(gpu, "BATCH", 4096)
    found = gpu.resident(card, 16, code, copy, size=8192, seconds=0)
    found |= gpu.streamed(card, 16, code, seconds=0)
    assert all(value > 0 for value in found.values())
    assert card.registered == {}
