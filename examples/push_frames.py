"""Push one 4D-STEM scan to `scopeside run examples/zmq.toml`; docs/wire.md says all.

It needs pyzmq, msgpack and numpy, and nothing of scopeside.
"""

import sys
import time

import msgpack
import numpy as np
import zmq

START, BATCH, END = 1, 2, 5
endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555"
context = zmq.Context()
socket = context.socket(zmq.PUSH)
socket.connect(endpoint)


def send(kind: int, header: dict[str, object], *payload: bytes) -> None:
    """Send one message; this waits as long as the engine is busy or not there."""
    envelope = b"SF" + bytes([1, kind])
    socket.send_multipart([envelope, msgpack.packb(header), *payload])


name = f"example-{time.time_ns()}"
scan, frame = {"shape": [32, 32]}, {"shape": [64, 64], "dtype": "<u2"}
about = {"id": name, "kind": "scan4d", "frames": 1024, "scan": scan, **frame}
send(START, {"acquisition": about})
rng = np.random.default_rng(0)
for seq in range(32):  # one row of the scan in each message
    row = rng.poisson(1.0, (32, 64, 64)).astype("<u2")
    at = {"acq": name, "seq": seq, "first": 32 * seq, "n": 32, "t_ns": time.time_ns()}
    send(BATCH, {**at, **frame}, row.tobytes())
send(END, {"acq": name, "total": 1024})
socket.close()
context.term()  # waits until all has left; without it, what is queued is lost
print(f"{name}: 1024 frames pushed to {endpoint}")
