"""docs/export.md says what is true: formats, settings, the session, the example."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runs_made import frames_of, times_of, write_run

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.cli.main import main
from scopeside.collect.files import write
from scopeside.export.exporting import export
from scopeside.plugins import SINKS, exporter_class, installed
from scopeside.result import Result
from scopeside.scan import Scan

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture
def au(tmp_path, monkeypatch):
    """The run of the session: a snake scan without the frames 3, 4 and 9."""
    scan = Scan((4, 6), "snake", flyback=2)
    acquisition = Acquisition(
        "au-1", (8, 8), np.dtype("<u2"), kind="scan4d", frames=32, scan=scan
    )
    pixels = frames_of(32, (8, 8), "<u2")
    index = np.array([k for k in range(32) if k not in (3, 4, 9)])
    batch = Batch(pixels[index], index, times_of(index))
    gaps = [(3, 4, "dropped_by_peer")]
    run = write_run(tmp_path / "runs/au-1", acquisition, [batch], gaps=gaps)
    write(run / "results", "stem", "virtual", Result("bf", np.ones((4, 6))), {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return run


def test_every_format_is_in_the_table_and_no_other():
    listed = re.findall(r"^\| `(\w+)` \|", section("Formats"), re.MULTILINE)
    assert sorted(listed) == sorted(installed(SINKS))


@pytest.mark.parametrize("kind", sorted(installed(SINKS)))
def test_every_setting_and_suffix_is_documented(kind):
    exporter = exporter_class(kind)
    assert f"`{exporter.suffix}`" in section("Formats") or (
        f"`{exporter.suffix}` folder" in section("Formats")
    )
    for key, field in exporter.Params.model_fields.items():
        rows = [row for row in section("Settings").splitlines() if f"| `{key}`" in row]
        (row,) = [row for row in rows if f"`{kind}`" in row]
        assert field.default is None or f"`{field.default}` |" in row


def test_the_session_is_what_happens(au, tmp_path, capsys):
    pytest.importorskip("h5py", reason="h5py is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    said = PAGE.split("```\n")[1]
    commands = [line for line in said.splitlines() if line.startswith("$ ")]
    shown = ""
    for command in commands:
        here = command.replace("/data/", f"{tmp_path}/")
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(here.removeprefix("$ scopeside ")))
        assert ended.value.code == 0
        shown += f"{command}\n{capsys.readouterr().out}"
    assert shown.replace(str(tmp_path), "/data") == said


def test_the_format_of_ones_own_is_found_and_writes(au, tmp_path, monkeypatch):
    code = section("A format of your own").split("```python\n")[1].split("```")[0]
    (tmp_path / "mine_sums.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (path,) = export(au, "mine_sums:Sums", tmp_path).paths
    sys.modules.pop("mine_sums")
    lines = path.read_text().splitlines()
    assert len(lines) == 24
    assert [k for k, line in enumerate(lines) if line == "0"] == [3, 4, 10]
