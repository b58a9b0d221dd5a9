"""The notebook on in-situ processors runs as it stands, and is kept without outputs."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra notebook")
nbclient = pytest.importorskip("nbclient", reason="needs the extra notebook")
pytest.importorskip("ipykernel", reason="needs the extra notebook")
pytest.importorskip("matplotlib", reason="needs the extra notebook")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "insitu_notebook.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def said(notebook):
    """What the cells have printed, in one text."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    return "".join(one.get("text", "") for one in outputs)


def pictures(notebook):
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    return sum("image/png" in one.get("data", {}) for one in outputs)


def test_it_is_kept_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.system
@pytest.mark.filterwarnings("default")  # of the client, not of ours
def test_it_runs_and_draws(notebook, tmp_path, monkeypatch):
    roots = [ROOT / name for name in ("engine", "adapters", "processors")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, roots)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=90, resources=where).execute()
    assert "e⁻/Å²" in said(notebook)
    assert pictures(notebook) >= 5
