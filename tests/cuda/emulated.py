"""A card without a GPU: numpy for memory, and our CUDA sources compiled as C++.

Copies and kernels are done at once or, with ``late=True``, only when somebody waits
for them, as a real card may do them; so what reads too early reads garbage. Every
piece of memory has a margin, which nobody may write to.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections import deque
from functools import lru_cache
from pathlib import Path

import numpy as np

from scopeside.errors import DeviceFailedError

HERE = Path(__file__).parent
MARGIN = 256
GARBAGE = 0xA5

GXX = shutil.which("g++")


class Kernels:
    """A CUDA source compiled for the CPU."""

    def __init__(self, source, folder):
        path = Path(folder) / f"{abs(hash(source)):x}"
        path.with_suffix(".cpp").write_text(f'#include "emulator.h"\n{source}')
        command = [GXX, "-O1", "-std=c++14", "-shared", "-fPIC", "-ffp-contract=off"]
        command += ["-w", f"-I{HERE}", path.with_suffix(".cpp"), "-o"]
        subprocess.run([*command, path.with_suffix(".so")], check=True, timeout=120)
        self.library = ctypes.CDLL(str(path.with_suffix(".so")))

    def run(self, name, grid, block, arguments, memories):
        ends = [(one.address, one.address + one.size) for one in memories]
        ranges = (ctypes.c_uint64 * (2 * len(ends)))(*(end for e in ends for end in e))
        self.library.allow(ranges, len(ends))
        words = (ctypes.c_uint64 * len(arguments))(*map(int, arguments))
        kernel = ctypes.cast(getattr(self.library, name), ctypes.c_void_p)
        wrong = self.library.emulate(kernel, words, len(words), *grid, block)
        if wrong:
            why = {1: "wait for each other", 2: "load from where there is no memory"}
            raise DeviceFailedError(f"the threads of {name} {why[wrong]}")


@lru_cache
def compiled(source, folder):
    return Kernels(source, folder)


class Memory:
    """Bytes with a margin on both sides."""

    def __init__(self, size):
        raw = np.full(size + 3 * MARGIN, GARBAGE, np.uint8)
        shift = -raw.ctypes.data % MARGIN
        self.raw, self.first, self.size = raw, shift + MARGIN, size
        self.address = raw.ctypes.data + self.first

    @property
    def margin_is_whole(self):
        before, behind = self.raw[: self.first], self.raw[self.first + self.size :]
        return bool((before == GARBAGE).all() and (behind == GARBAGE).all())


class Stream:
    def __init__(self):
        self.todo = deque()


class Mark:
    """An event; how often it was set, and how often that was reached."""

    def __init__(self):
        self.stream, self.set, self.reached = None, 0, 0


class EmulatedCard:
    """Does what `scopeside.device.card.Card` says, with numpy and g++.

    `fails` names the calls that fail, by how often they still go well:
    ``{"launch": 3}``. `run` is what runs a kernel; by default the emulator.
    """

    def __init__(self, folder=None, *, processors=2, late=True, run=None):
        self.name, self.processors = "gpu:0 (emulated)", processors
        self.fails, self.calls, self.registered = {}, [], {}
        self._folder, self._late, self._run = folder, late, run
        self.memories, self.copied_in, self.copied_out = [], 0, 0

    def _call(self, what):
        self.calls.append(what)
        if what in self.fails:
            self.fails[what] -= 1
            if self.fails[what] < 0:
                raise DeviceFailedError(f"{what} has failed, as asked")

    def register(self, address, size):
        self._call("register")
        self.registered[address] = size

    def unregister(self, address):
        del self.registered[address]

    def memory(self, size):
        self._call("memory")
        self.memories.append(Memory(size))
        return self.memories[-1]

    def host_memory(self, size):
        self._call("host_memory")
        return np.full(size, GARBAGE, np.uint8)

    def stream(self):
        return Stream()

    def mark(self):
        return Mark()

    def set_mark(self, mark, stream):
        mark.stream, mark.set = stream, mark.set + 1
        number = mark.set
        self._give(stream, lambda: setattr(mark, "reached", number))

    def passed(self, mark):
        self._call("passed")
        self._work_up_to(mark, mark.set)
        return True

    def wait_for(self, stream, mark):
        number = mark.set
        self._give(stream, lambda: self._work_up_to(mark, number))

    def copy_in(self, to, pitch, rows, stream):
        self._call("copy_in")
        self.copied_in += rows.nbytes

        def copy():
            for k, row in enumerate(rows):
                ctypes.memmove(to + k * pitch, row.ctypes.data, row.nbytes)

        self._give(stream, copy)

    def copy_out(self, to, source, stream):
        self._call("copy_out")
        self.copied_out += to.nbytes
        self._give(stream, lambda: ctypes.memmove(to.ctypes.data, source, to.nbytes))

    def clear(self, address, size, stream):
        self._give(stream, lambda: ctypes.memset(address, 0, size))

    def kernel(self, source, name):
        self._call("kernel")
        return source, name

    def launch(self, kernel, grid, block, arguments, stream):
        self._call("launch")
        assert all(isinstance(a, np.uint64 | np.int32) for a in arguments)
        source, name = kernel
        if self._run is not None:
            self._give(stream, lambda: self._run(name, grid, block, arguments))
            return
        run = compiled(source, self._folder).run
        self._give(stream, lambda: run(name, grid, block, arguments, self.memories))

    def _work_up_to(self, mark, number):
        while mark.reached < number:
            mark.stream.todo.popleft()()

    def _give(self, stream, job):
        stream.todo.append(job)
        while not self._late and stream.todo:
            stream.todo.popleft()()
