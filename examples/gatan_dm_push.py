"""Push the live view of DigitalMicrograph to `scopeside run examples/zmq.toml`.

Run it as a Python script within GMS 3.4 or later, on a background thread, with the
live image in front; pyzmq and msgpack must be installed in GMS's Python environment.
docs/detectors/push.md says the rest.
"""

import time

import DigitalMicrograph
import msgpack
import numpy as np
import zmq

ENDPOINT = "tcp://127.0.0.1:5555"
FRAMES = 500
LOOK_EVERY_S = 0.002
SILENCE_S = 10.0
START, BATCH, END = 1, 2, 5


def send(socket, kind, header, *payload):
    """Send one message; after 5 s without an engine that takes it, give up."""
    envelope = b"SF" + bytes([1, kind])
    socket.send_multipart([envelope, msgpack.packb(header), *payload])


def fresh(live, before):
    """Wait until the live image has changed; None if it does not for SILENCE_S."""
    until = time.monotonic() + SILENCE_S
    while time.monotonic() < until:
        now = np.array(live, copy=True)  # the image goes on changing under us
        if before is None or not np.array_equal(now, before):
            if np.array_equal(now, live):  # no change came in while it was copied
                return now
        else:
            time.sleep(LOOK_EVERY_S)
    return None


def push(image, endpoint=ENDPOINT, frames=FRAMES):
    """Push so many changes of an image; return the acquisition's id."""
    name = f"dm-{time.time_ns()}"
    live, before, sent = image.GetNumArray(), None, 0
    shape = {"shape": list(live.shape), "dtype": live.dtype.newbyteorder("<").str}
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.sndtimeo = 5000
        socket.linger = 5000
        socket.connect(endpoint)
        about = {"id": name, "frames": frames, "detector": "DigitalMicrograph"}
        send(socket, START, {"acquisition": {**about, **shape}})
        while sent < frames and (before := fresh(live, before)) is not None:
            at = {"acq": name, "seq": sent, "first": sent, "n": 1}
            at["t_ns"] = time.time_ns()
            pixels = np.ascontiguousarray(before, shape["dtype"])
            send(socket, BATCH, {**at, **shape}, pixels.tobytes())
            sent += 1
        state = "complete" if sent == frames else "stopped"
        send(socket, END, {"acq": name, "total": sent, "state": state})
    return name


if __name__ == "__main__":
    push(DigitalMicrograph.GetFrontImage())
