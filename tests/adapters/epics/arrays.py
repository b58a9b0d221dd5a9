"""Arrays for the tests of the epics detector."""

import numpy as np

from scopeside_adapters.epics.protocol import TYPES, ArrayFields, Frame

RNG_SEED = 2024
SHAPE = (12, 20)


def image(dtype="<u2", shape=SHAPE, seed=RNG_SEED):
    rng = np.random.default_rng(seed)
    return rng.poisson(7, shape).astype(dtype)


def fields(frame=None, **more):
    """An NTNDArray as areaDetector fills it, with `more` in place of what is there."""
    frame = image() if frame is None else frame
    said = {
        "value": frame.reshape(-1),
        "dimension": frame.shape[::-1],
        "unique_id": 1,
        "compressed_size": frame.nbytes,
        "uncompressed_size": frame.nbytes,
        "stamps": ((1_700_000_000, 5), (1_700_000_000, 7)),
        "attributes": {"ColorMode": 0},
    }
    return ArrayFields(**{**said, **more})


def packed_frame(packed, frame, codec):
    """A checked frame whose payload is `packed`."""
    payload = np.frombuffer(bytes(packed), np.uint8)
    return Frame(1, frame.shape, frame.dtype, payload, codec)


def code_of(dtype):
    return max(k for k, kind in enumerate(TYPES) if kind == np.dtype(dtype))


def numbered(unique_id, *, ns=None, shape=SHAPE, dtype="<u2"):
    """A frame with a number, and a time that rises with it unless `ns` is given."""
    stamp = 10**18 + unique_id * 1000 if ns is None else ns
    payload = np.zeros(0, np.uint8)
    return Frame(unique_id, shape, np.dtype(dtype), payload, "", stamp or None)
