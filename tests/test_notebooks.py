"""Notebooks run from top to bottom in a small setting; what is committed is of one run."""

import ast
import getpass
import re
from pathlib import Path

import nbformat
import pytest
from check import run_python

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
# run by the tests of the tables and of the ledger, over what they have made
OF_A_TABLE = ("ag_sononet", "claims", "cs_agnet", "fan", "global_attention",
              "transfer_learning")  # fmt: skip
SMALL = [
    "phantom_patients=16", "image_size=32", "stage_filters=2,3,4,5,6", "batch_size=8",
    "segmentation_epochs=1", "epochs=1",
]  # fmt: skip
MOST_BYTES = 1_500_000


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(path, settings, folder):
    """Runs a notebook in a folder, with its settings cell replaced; returns it."""
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if "settings" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    cells[0].source = settings
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / path.name)
    run_python(f"""
import nbformat, nbclient
path = {str(folder / path.name)!r}
notebook = nbformat.read(path, as_version=4)
resources = {{"metadata": {{"path": {str(folder)!r}}}}}
nbclient.NotebookClient(notebook, timeout=900, resources=resources).execute()
nbformat.write(notebook, path)
""")
    return nbformat.read(folder / path.name, as_version=4)


def pictures(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [o for o in outputs if {"image/png", "image/jpeg"} & set(o.get("data", {}))]


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"start_here", *OF_A_TABLE}


@pytest.mark.slow
def test_start_here_goes_from_an_image_to_a_served_prediction(tmp_path):
    (path,) = (path for path in NOTEBOOKS if path.stem not in OF_A_TABLE)
    done = execute(path, f"SETTINGS = {SMALL!r}", tmp_path)
    assert len(pictures(done)) >= 5
    assert list(tmp_path.glob("runs/*/report.html"))
    assert (tmp_path / "saved_models/start_here/1/saved_model.pb").is_file()
    outputs = [o for cell in code_cells(done) for o in cell.outputs]
    said = "".join(o["text"] for o in outputs if o.get("name") == "stdout")
    assert float(re.search(r"differs from predict by (\S+)", said)[1]) <= 1e-5
    assert "No server answers: http://localhost:8501: cannot be asked" in said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_short(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) <= 17
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_those_of_one_whole_run_or_none(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    if not any(cell.outputs for cell in cells):
        assert all(cell.execution_count is None for cell in cells)
        return
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    text = re.sub(r'"image/\w+": "[^"]*"', "", path.read_text(encoding="utf-8"))
    for private in ("/home/", "/root/", "/tmp/", "/work/", "/Users/", f"/{getpass.getuser()}/"):
        assert private not in text
    assert path.stat().st_size <= MOST_BYTES
