"""The notebooks run from top to bottom, and their committed outputs are those of one run."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import jax
import matplotlib.pyplot as plt
import pytest

import bep_jax as bep

# An environment from before the notebooks skips them; the extra "test", which CI installs, has all three.
nbformat = pytest.importorskip("nbformat", reason='notebooks want pip install ".[test]"')
pytest.importorskip("nbclient", reason='notebooks want pip install ".[test]"')
pytest.importorskip("ipykernel", reason='notebooks want pip install ".[test]"')

FOLDER = pathlib.Path(__file__).parent.parent / "notebooks"
NAMES = ("quickstart", "sweeps", "recurrent", "convolution", "own_rule", "devices")


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


def test_runs_in_a_kernel(tmp_path):
    """Start to end as users do, with all samples: the one that they see first."""
    command = [sys.executable, FOLDER / "execute.py", "quickstart", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(code_cells(tmp_path / "quickstart.ipynb")) == len(code_cells(FOLDER / "quickstart.ipynb"))


@pytest.mark.parametrize("name", NAMES[1:])
def test_cells_run(name, tmp_path, monkeypatch):
    """Top to bottom in this process, which spares a start of jax each, with the first samples of every data set."""
    if name == "recurrent" and not os.environ.get("BEP_JAX_DATA"):
        pytest.skip("it reads ItalyPowerDemand: set BEP_JAX_DATA")

    def few(*args, load=bep.datasets.load, **options):
        data = load(*args, **options)
        parts = {"train_x": 256, "train_y": 256, "test_x": 100, "test_y": 100}
        return dataclasses.replace(data, **{part: getattr(data, part)[:most] for part, most in parts.items()})

    shown = []

    def show():
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
            shown.append(number)
        plt.close("all")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bep.datasets, "load", few)
    monkeypatch.setattr(plt, "show", show)
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])  # which one of them sets, too late here
    namespace = {"__name__": "__main__"}
    # A reader's session: JAX's own promotion, not the strict one of the tests.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for cell in code_cells(FOLDER / f"{name}.ipynb")[1:]:
            exec(compile(cell.source, f"{name}.ipynb", "exec"), namespace)
    assert shown
