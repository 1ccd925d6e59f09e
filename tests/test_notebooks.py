"""The notebooks run from top to bottom as they are, and their committed outputs are those of such a run."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

# An environment from before the notebooks skips them; the extra "test", which CI installs, has all three.
nbformat = pytest.importorskip("nbformat", reason='notebooks want pip install ".[test]"')
pytest.importorskip("nbclient", reason='notebooks want pip install ".[test]"')
pytest.importorskip("ipykernel", reason='notebooks want pip install ".[test]"')

FOLDER = pathlib.Path(__file__).parent.parent / "notebooks"
NAMES = ("quickstart", "sweeps", "recurrent", "own_rule", "devices")


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_all_are_named():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_are_of_one_run(name):
    cells = code_cells(FOLDER / f"{name}.ipynb")
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 500_000


@pytest.mark.parametrize("name", NAMES)
def test_opens_in_a_hosted_notebook(name):
    """A badge, an install that does nothing where the library is, and no version of jax."""
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    assert "colab.research.google.com/github/" in cells[0].source and f"/{name}.ipynb" in cells[0].source
    assert cells[1].source.startswith("import importlib.util") and "%pip install" in cells[1].source
    assert not re.search(r"jax *[=<>~]=", "".join(cell.source for cell in cells))


@pytest.mark.parametrize("name", NAMES)
def test_runs(name, tmp_path):
    if name == "recurrent" and not os.environ.get("BEP_JAX_DATA"):
        pytest.skip("it reads ItalyPowerDemand: set BEP_JAX_DATA")
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}  # those of conftest.py
    command = [sys.executable, FOLDER / "execute.py", name, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(code_cells(tmp_path / f"{name}.ipynb")) == len(code_cells(FOLDER / f"{name}.ipynb"))
