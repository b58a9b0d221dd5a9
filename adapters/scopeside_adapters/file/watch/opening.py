"""Which growing file is read by what."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from scopeside.errors import ScopesideError, SourceError
from scopeside_adapters.file.images import TIFF_SUFFIXES
from scopeside_adapters.file.mib import mib_layout
from scopeside_adapters.file.mrc import HEADER as MRC_HEADER
from scopeside_adapters.file.mrc import mrc_layout
from scopeside_adapters.file.numpy_files import npy_layout
from scopeside_adapters.file.raw import RawLayout, raw_layout
from scopeside_adapters.file.seq import HEADER as SEQ_HEADER
from scopeside_adapters.file.seq import seq_layout
from scopeside_adapters.file.strided import Strided, begin
from scopeside_adapters.file.tvips import HEADER as TVIPS_HEADER
from scopeside_adapters.file.tvips import tvips_layout
from scopeside_adapters.file.watch.growing import Growing, NotYetError, StridedFile
from scopeside_adapters.file.watch.growing_hdf5 import Hdf5Stack
from scopeside_adapters.file.watch.growing_tiff import TiffStack

HDF5_SUFFIXES = frozenset({".h5", ".hdf5"})
_LAYOUTS: dict[str, Callable[[Path], Strided]] = {
    **dict.fromkeys(
        (".mrc", ".mrcs", ".st", ".ali"), lambda p: mrc_layout(begin(p, MRC_HEADER))
    ),
    ".seq": lambda p: seq_layout(begin(p, SEQ_HEADER)),
    ".tvips": lambda p: tvips_layout(begin(p, TVIPS_HEADER)),
    ".mib": mib_layout,
    ".npy": npy_layout,
    ".raw": lambda p: raw_layout(p, None),
}
GROWING_SUFFIXES = frozenset({*_LAYOUTS, *TIFF_SUFFIXES, *HDF5_SUFFIXES})


def strided_layout(path: Path, raw: RawLayout | None = None) -> Strided | None:
    """Return how a file is laid out; None if its frames are not equally far apart.

    Raises
    ------
    SourceError
        If it is not what its suffix says, or not written far enough yet.
    """
    if raw is not None:
        return raw_layout(path, raw)
    of = _LAYOUTS.get(path.suffix.lower())
    if of is None:
        return None
    try:
        return of(path)
    except (ValueError, IndexError, EOFError, struct.error) as error:
        raise SourceError(f"its header cannot be understood: {error}") from error


def open_growing(
    path: Path, key: str | None, raw: RawLayout | None, settle_s: float
) -> Growing:
    """Open a file that may still be written.

    Raises
    ------
    NotYetError, SourceError
        If it cannot be read, or no frame of it is whole; perhaps later.
    """
    try:
        growing = _open(path, key, raw, settle_s)
        if growing.count() == 0 and growing.count(ended=True) == 0:
            growing.close()
            raise NotYetError("no frame of it is whole yet")
    except OSError as error:
        raise SourceError(str(error.strerror or error)) from error
    return growing


def _open(
    path: Path, key: str | None, raw: RawLayout | None, settle_s: float
) -> Growing:
    layout = strided_layout(path, raw)
    if layout is not None:
        return StridedFile(path, layout)
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return TiffStack(path, settle_s)
    if suffix in HDF5_SUFFIXES:
        return Hdf5Stack(path, key)
    raise SourceError(
        f"a {suffix or 'file without suffix'} cannot be followed while it grows; "
        f"{', '.join(sorted(GROWING_SUFFIXES))} can"
    )


def why_not(path: Path, key: str | None, raw: RawLayout | None) -> str:
    """Say why a file cannot be followed; empty if it can be, now or later."""
    try:
        open_growing(path, key, raw, 0.0).close()
    except NotYetError:
        return ""
    except ScopesideError as error:
        return f"{path.name}: {error}"
    return ""
