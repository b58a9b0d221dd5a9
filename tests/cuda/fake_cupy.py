"""As much of CuPy as `scopeside.device.cupy_card` calls, on an `EmulatedCard`.

Names, order and kind of arguments are CuPy's; what it is given wrongly it refuses.
"""

import ctypes
from types import SimpleNamespace

import numpy as np


class CUDARuntimeError(RuntimeError):
    pass


def fake_cupy(card, cards=1):
    """Return a module; `cards` is how many this machine has."""
    current = []

    class Stream:
        def __init__(self, null=False, non_blocking=False, ptds=False):
            assert non_blocking
            self.inner = card.stream()
            self.ptr = id(self)
            streams[self.ptr] = self.inner

        def __enter__(self):
            current.append(self.inner)

        def __exit__(self, *_):
            current.pop()

        def wait_event(self, event):
            card.wait_for(self.inner, event.mark)

    class Event:
        def __init__(self, block=False, disable_timing=False, interprocess=False):
            self.mark = card.mark()

        def record(self, stream=None):
            card.set_mark(self.mark, stream.inner)

        @property
        def done(self):
            return card.passed(self.mark)

    class RawModule:
        def __init__(self, *, code, options=(), backend="nvrtc"):
            assert backend == "nvrtc"
            assert all(option.startswith("--") for option in options)
            self.code = code

        def get_function(self, name):
            def call(grid, block, args):
                assert len(grid) == len(block) == 3
                card.launch((self.code, name), grid[:2], block[0], args, current[-1])

            return call

    class Device:
        def __init__(self, number):
            self.number = number

        def use(self):
            pass

    streams = {}

    def copy_2d(to, pitch, source, source_pitch, *more):
        width, height, kind, stream = more
        assert kind == 1
        assert source_pitch == width <= pitch
        rows = at(source, width * height).reshape(height, width)
        card.copy_in(to, pitch, rows, streams[stream])

    def copy(to, source, size, kind, stream):
        if kind == 1:
            card.copy_in(to, size, at(source, size)[None], streams[stream])
        else:
            assert kind == 2
            card.copy_out(at(to, size), source, streams[stream])

    def clear(address, value, size, stream):
        assert value == 0
        card.clear(address, size, streams[stream])

    def count():
        if not cards:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device")
        return cards

    def allocate(size):
        memory = card.memory(size)
        return SimpleNamespace(ptr=memory.address, memory=memory)

    runtime = SimpleNamespace(
        getDeviceCount=count,
        getDeviceProperties=lambda number: {
            "name": b"NVIDIA Fake",
            "multiProcessorCount": 2,
        },
        hostRegister=lambda ptr, size, flags: card.register(ptr, size),
        hostUnregister=card.unregister,
        memcpyAsync=copy,
        memcpy2DAsync=copy_2d,
        memsetAsync=clear,
    )
    cuda = SimpleNamespace(
        runtime=runtime,
        Stream=Stream,
        Event=Event,
        Device=Device,
        alloc=allocate,
        alloc_pinned_memory=lambda size: card.host_memory(size).data,
    )
    return SimpleNamespace(cuda=cuda, RawModule=RawModule)


def at(address, size):
    """Bytes at an address, as an array."""
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
