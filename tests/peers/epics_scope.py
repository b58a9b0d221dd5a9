"""A microscope behind a soft IOC (softioc), over Channel Access and PVAccess.

    python tests/peers/epics_scope.py CA_PORT PVA_PORT

It prints a line when it serves, and ends with its standard input. Each quantity has a
demand, clamped by DRVL and DRVH as usual, and a read-back that follows after a while.
TRAP:SHIFT follows nothing: a read-back that stays where it is.
"""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__)
SETTLE_S = 0.02


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(ca_port, pva_port):
    """Search on loopback only, and serve there only."""
    return {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(ca_port),
        "EPICS_CAS_SERVER_PORT": str(ca_port),
        "EPICS_CA_REPEATER_PORT": str(ca_port + 1),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_PVA_ADDR_LIST": "127.0.0.1",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_BROADCAST_PORT": str(pva_port),
        "EPICS_PVA_SERVER_PORT": str(pva_port + 1),
        "EPICS_PVAS_BROADCAST_PORT": str(pva_port),
        "EPICS_PVAS_SERVER_PORT": str(pva_port + 1),
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    }


class Ioc:
    """The IOC in a process of its own."""

    def __init__(self):
        self.ports = free_port(), free_port()
        self.environment = environment(*self.ports)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), *map(str, self.ports)],
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        while line and "serving" not in line:
            line = self.process.stdout.readline()
        assert line, "the IOC ended before it served"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


@contextmanager
def ioc():
    found = Ioc()
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.kill()


def serve():
    import asyncio
    import threading

    from softioc import asyncio_dispatcher, builder, softioc

    dispatcher = asyncio_dispatcher.AsyncioDispatcher()
    builder.SetDeviceName("TEM")
    loop = dispatcher.loop

    under_way = set()

    async def follow(target, value):
        await asyncio.sleep(SETTLE_S)
        target.set(value)

    def pair(name, low, high, *, follows=True, egu=""):
        rbv = builder.aIn(f"{name}:RBV", initial_value=0.0, EGU=egu, PREC=6)

        async def on_update(value):
            if follows:
                task = loop.create_task(follow(rbv, value))
                under_way.add(task)
                task.add_done_callback(under_way.discard)

        builder.aOut(
            name,
            initial_value=0.0,
            DRVL=low,
            DRVH=high,
            EGU=egu,
            on_update=on_update,
            always_update=True,
            PREC=6,
        )

    pair("SHIFT:X", -500.0, 500.0, egu="nm")
    pair("SHIFT:Y", -500.0, 500.0, egu="nm")
    pair("FOCUS", -100.0, 100.0, egu="um")
    pair("STUCK", -100.0, 100.0, follows=False)
    blanked = builder.boolIn("BLANK:RBV", ZNAM="Open", ONAM="Blanked", initial_value=0)

    async def on_blank(value):
        blanked.set(value)

    builder.boolOut(
        "BLANK", ZNAM="Open", ONAM="Blanked", on_update=on_blank, always_update=True
    )
    builder.aIn("HT:RBV", initial_value=200.0, EGU="kV")
    builder.stringIn("MODE:RBV", initial_value="TEM")
    builder.LoadDatabase()
    softioc.iocInit(dispatcher)
    print("serving", flush=True)
    ended = threading.Event()
    threading.Thread(
        target=lambda: (sys.stdin.read(), ended.set()), daemon=True
    ).start()
    ended.wait()
    os._exit(0)


if __name__ == "__main__":
    os.environ.update(environment(int(sys.argv[1]), int(sys.argv[2])))
    serve()
