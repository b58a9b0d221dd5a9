"""The results of a run, and its channels, as signals and tables."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from scopeside.errors import RunError
from scopeside.export.exporter import Progress, Source
from scopeside.params import Params
from scopeside.result import Result
from scopeside.runs.results import CHANNELS, FOLDER, read, samples
from scopeside_adapters.exports.hdf5_file import load_h5py
from scopeside_adapters.exports.result_signals import write_result
from scopeside_adapters.exports.result_tables import Column, table_of
from scopeside_adapters.exports.tables import has_parquet, write_table


class ResultsParams(Params):
    """There is nothing to choose."""


class ResultsExport:
    """Results: images and series as .hspy, tables and channels as CSV and Parquet."""

    Params: ClassVar[type[ResultsParams]] = ResultsParams
    suffix: ClassVar[str] = ".results"
    takes_frames: ClassVar[bool] = False

    def __init__(self, params: ResultsParams) -> None:
        del params

    def check(self, source: Source) -> list[str]:
        """See to it that there are results, and h5py."""
        load_h5py("exporting results")
        if files_of(source.run.folder):
            return []
        return [f"{source.run.folder} holds no results and no channels"]

    def names(self, target: Path) -> list[Path]:
        """Return the one folder."""
        return [target]

    def size(self, source: Source) -> int:
        """Return the size as signal and as two tables, each as large as it is now."""
        files = files_of(source.run.folder)
        return 4 * sum(path.stat().st_size for path in files) + (1 << 20)

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write a file or more for each result, and ``results.csv``, which lists them.

        One that cannot be read is listed with the reason.
        """
        target.mkdir()
        notes, overview = [], []
        files = files_of(source.run.folder)
        for done, path in enumerate(files, 1):
            try:
                if path.parent.name == CHANNELS:
                    row = _write_channel(path, target)
                else:
                    row = _write_result(source, path.stem, read(path), target)
            except RunError as error:
                notes.append(str(error))
                row = [path.stem, "", "no", str(error), "", ""]
            overview.append(row)
            progress(done, len(files))
        names = ("name", "kind", "valid", "reason", "frames used", "files")
        listed = [
            Column(name, "", [row[k] for row in overview])
            for k, name in enumerate(names)
        ]
        write_table(target / "results", listed, parquet=False)
        if not has_parquet():
            notes.append(
                "tables were written as CSV alone: Parquet needs pyarrow, "
                "pip install 'scopeside[export]'"
            )
        return notes


def files_of(folder: Path) -> list[Path]:
    """Return the files of results and of channels of a run, in order of name."""
    return [
        path
        for below in (FOLDER, CHANNELS)
        for path in sorted((folder / below).glob("*.npz"))
    ]


def _write_channel(path: Path, target: Path) -> list[str]:
    times_ns, values = samples(path.parents[1], path.stem)
    stem = f"channel.{path.stem}"
    columns = [Column("time_ns", "ns", times_ns), Column("value", "", values)]
    written = write_table(target / stem, columns, parquet=has_parquet())
    return [stem, "channel", "yes", "", "", " ".join(written)]


def _write_result(source: Source, stem: str, result: Result, target: Path) -> list[str]:
    """Write what the kind of a result asks for; return its row of the overview."""
    files: list[str] = []
    if result.valid:
        columns = table_of(result)
        if result.kind in ("image", "series") or not columns:
            files += write_result(source, stem, result, target)
        if columns:
            path = target / stem
            files += write_table(path, columns, parquet=has_parquet())
    valid = "yes" if result.valid else "no"
    used = str(result.used)
    return [stem, result.kind, valid, result.reason, used, " ".join(files)]
