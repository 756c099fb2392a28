"""Notebooks run from top to bottom in a small setting."""

import json
from pathlib import Path

import nbformat
import pytest
from check import run_python

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SMALL = [
    "phantom_patients=16", "image_size=32", "stage_filters=2,3,4,5,6", "batch_size=8",
    "segmentation_epochs=1", "epochs=1",
]  # fmt: skip


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if "settings" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    cells[0].source = f"SETTINGS = {json.dumps(SMALL)}"
    nbformat.write(notebook, tmp_path / path.name)
    code = f"""
import nbformat, nbclient
path = {str(tmp_path / path.name)!r}
notebook = nbformat.read(path, as_version=4)
resources = {{"metadata": {{"path": {str(tmp_path)!r}}}}}
nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
nbformat.write(notebook, path)
"""
    run_python(code)
    done = nbformat.read(tmp_path / path.name, as_version=4)
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
    assert list(tmp_path.glob("runs/*/report.html"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_short_and_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert len(cell.source.splitlines()) <= 17
        assert not cell.get("outputs")
