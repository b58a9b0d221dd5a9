"""Which file is read by which module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scopeside.errors import ScopesideError, SourceError
from scopeside_adapters.file.blockfile import open_blockfile
from scopeside_adapters.file.frames import Frames
from scopeside_adapters.file.hdf5 import open_hdf5
from scopeside_adapters.file.images import (
    PICTURE_SUFFIXES,
    TIFF_SUFFIXES,
    open_folder,
    open_picture,
)
from scopeside_adapters.file.mib import open_mib
from scopeside_adapters.file.mrc import open_mrc
from scopeside_adapters.file.numpy_files import open_npy, open_npz
from scopeside_adapters.file.raw import RawLayout, open_raw
from scopeside_adapters.file.rosetta import open_rosetta
from scopeside_adapters.file.seq import open_seq
from scopeside_adapters.file.tiff import open_tiff
from scopeside_adapters.file.tvips import open_tvips


@dataclass(frozen=True, slots=True)
class Format:
    """A format by name, and what opens it.

    Attributes
    ----------
    name
        As it stands in messages.
    open
        Opens a file that holds one series of frames.
    open_key
        Opens a file that may hold several, of which a key chooses.
    magic
        How such files begin; empty where they have no mark.
    """

    name: str
    open: Callable[[Path], Frames] | None = None
    open_key: Callable[[Path, str | None], Frames] | None = None
    magic: tuple[bytes, ...] = ()


_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_HDF5_MAGIC = (b"\x89HDF\r\n\x1a\n",)
_PICTURE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff")

_FOLDER = Format("a folder of pictures", open_key=open_folder)
_RAW = Format("raw")
_ROSETTA = Format("a file for RosettaSciIO", open_key=open_rosetta)
_FORMATS = {
    ".npy": Format("NPY", open_npy, magic=(b"\x93NUMPY",)),
    ".npz": Format("NPZ", open_key=open_npz, magic=(b"PK",)),
    **dict.fromkeys(
        TIFF_SUFFIXES, Format("TIFF", open_key=open_tiff, magic=_TIFF_MAGIC)
    ),
    **dict.fromkeys(
        PICTURE_SUFFIXES, Format("PNG or JPEG", open_picture, magic=_PICTURE_MAGIC)
    ),
    **dict.fromkeys((".mrc", ".mrcs", ".st", ".ali"), Format("MRC", open_mrc)),
    ".blo": Format("a NanoMEGAS block file", open_blockfile, magic=(b"IMGBLO",)),
    ".mib": Format("Merlin MIB", open_mib, magic=(b"MQ1",)),
    ".tvips": Format("TVIPS", open_tvips),
    ".seq": Format("Norpix SEQ", open_seq, magic=(b"\xed\xfe\x00\x00",)),
    ".raw": Format("EMPAD raw", open_raw),
    **dict.fromkeys(
        (".h5", ".hdf5"), Format("HDF5", open_key=open_hdf5, magic=_HDF5_MAGIC)
    ),
}


def open_frames(
    path: Path, key: str | None = None, raw: RawLayout | None = None
) -> Frames:
    """Open a file or a folder; close what it gives, or use it in a with statement.

    A file of bare pixels is read as `raw` describes it.

    Raises
    ------
    SourceError
        If it cannot be read; the message names it, the format and what is wrong.
    MissingExtraError
        If its format needs a library that is not installed.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist")
    known = _RAW if raw is not None and path.is_file() else _format_of(path)
    try:
        _check_magic(path, known)
        if known is _RAW:
            return open_raw(path, raw)
        if known.open_key is not None:
            return known.open_key(path, key)
        if key is not None:
            raise SourceError(f"it holds one series of frames; key = {key!r} is none")
        assert known.open is not None
        return known.open(path)
    except SourceError as error:
        raise SourceError(f"cannot read {path} as {known.name}: {error}") from error
    except ScopesideError:
        raise
    except Exception as error:  # libraries raise whatever a damaged file leads to
        raise SourceError(
            f"cannot read {path} as {known.name}: {type(error).__name__}: {error}"
        ) from error


def _format_of(path: Path) -> Format:
    suffix = path.suffix.lower()
    if path.is_dir() and suffix != ".zspy":
        return _FOLDER
    return _FORMATS.get(suffix, _ROSETTA)


def _check_magic(path: Path, known: Format) -> None:
    """Refuse a file that begins as another format than its suffix says."""
    if path.is_dir():
        return
    with path.open("rb") as file:
        begin = file.read(8)
    if not begin:
        raise SourceError("it is empty")
    if not known.magic or begin.startswith(known.magic):
        return
    for other in _FORMATS.values():
        if other.magic and begin.startswith(other.magic):
            raise SourceError(f"it begins like {other.name}; rename it")
    raise SourceError(f"it begins with {begin!r}, expected one of {known.magic}")
