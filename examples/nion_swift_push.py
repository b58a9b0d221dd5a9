"""Push the frames of a Nion Swift camera to `scopeside run examples/zmq.toml`.

Paste it into Swift's Run Script window; pyzmq and msgpack must be installed in
Swift's Python (`pip install pyzmq msgpack`). docs/detectors/push.md says the rest.
"""

import time

import msgpack
import numpy as np
import zmq

CAMERA = "usim_ronchigram_camera"  # id of the hardware source
ENDPOINT = "tcp://127.0.0.1:5555"
FRAMES = 500
START, BATCH, END = 1, 2, 5


def send(socket, kind, header, *payload):
    """Send one message; after 5 s without an engine that takes it, give up."""
    envelope = b"SF" + bytes([1, kind])
    socket.send_multipart([envelope, msgpack.packb(header), *payload])


def push(camera, endpoint=ENDPOINT, frames=FRAMES):
    """Push so many frames of a hardware source; return the acquisition's id."""
    name = f"swift-{time.time_ns()}"
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.sndtimeo = 5000
        socket.linger = 5000
        socket.connect(endpoint)
        task = camera.create_view_task(buffer_size=16)
        try:
            for number in range(frames):
                data = np.asarray(task.grab_earliest()[0].data)
                pixels = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
                shape = {"shape": list(pixels.shape), "dtype": pixels.dtype.str}
                if number == 0:
                    about = {"id": name, "frames": frames, "detector": "Nion Swift"}
                    send(socket, START, {"acquisition": {**about, **shape}})
                at = {"acq": name, "seq": number, "first": number, "n": 1}
                at["t_ns"] = time.time_ns()
                send(socket, BATCH, {**at, **shape}, pixels.tobytes())
            send(socket, END, {"acq": name, "total": frames})
        finally:
            task.close()
    return name


def script_main(api_broker):
    """Entry point of Swift's Run Script window."""
    api = api_broker.get_api("~1.0")
    push(api.get_hardware_source_by_id(CAMERA, "~1.0"))
