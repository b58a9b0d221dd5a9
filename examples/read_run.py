"""Reads the frames of a recorded run, also of one that grows: docs/run_folder.md."""

import json
import struct
import sys
from pathlib import Path

import msgpack
import numpy as np

HEAD = struct.Struct("<4sHHIIQQqqQ")  # magic, version, kind, header, n, record, body …
BATCH = 2


def records(folder):
    """Yield (kind, header, parts) of all records, in order."""
    for path in sorted(Path(folder).glob("*.seg")):
        data = np.memmap(path, np.uint8, "r")
        at = 64
        while at + 64 <= len(data):
            magic, version, kind, header, _, _, body, *_ = HEAD.unpack_from(data, at)
            if magic != b"SREC" or version != 1 or at + 64 + body > len(data):
                break  # nothing is written here yet
            whole = data[at + 64 : at + 64 + body]
            said = msgpack.unpackb(whole[:header].tobytes())
            begin, parts = -(-header // 64) * 64, []
            for size in said["parts"]:
                parts.append(whole[begin : begin + size])
                begin += -(-size // 64) * 64
            yield kind, said, parts
            at += 64 + body


def frames(folder):
    """Yield (index, t_ns, frames) of each batch: (n,), (n,), (n, height, width)."""
    for kind, said, parts in records(folder):
        if kind != BATCH:
            continue
        shape, dtype = (said["n"], *said["shape"]), np.dtype(said["dtype"])
        index, t_ns = parts[1].view("<i8"), parts[2].view("<i8")
        if said["codec"] == "raw":
            yield index, t_ns, parts[0].view(dtype).reshape(shape)
        elif said["codec"] == "events":
            word, dense = parts[0].view("<u8"), np.zeros(shape, np.int64)
            frame, pixel = (word >> 40).astype(int), (word & 0xFFFFFF).astype(int)
            value = (word >> 24 & 0xFFFF).astype(int)
            np.add.at(dense.reshape(shape[0], -1), (frame, pixel), value)
            yield index, t_ns, np.minimum(dense, np.iinfo(dtype).max).astype(dtype)
        else:
            raise SystemExit("packed frames: bitshuffle and LZ4, see docs/wire.md")


if __name__ == "__main__":
    about = json.loads((Path(sys.argv[1]) / "manifest.json").read_text())
    print(about["acquisition"]["id"], about["state"])
    for index, t_ns, pixels in frames(sys.argv[1]):
        print(f"frames {index[0]} to {index[-1]} at {t_ns[0]} ns: sum {pixels.sum()}")
