"""Runs the notebooks and keeps their outputs: ``python notebooks/execute.py [NAME ...] [--out DIR]``.

With ``--out`` the results go there and the committed files stay as they are, as in the tests.
"""

import argparse
import pathlib
import tempfile

import nbformat
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parent
# Where the project is published. The first two cells of every notebook are made from it.
REPOSITORY = "bep-jax/bep_jax"

BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    f"(https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/%s)"
)
INSTALL = f"""import importlib.util

if importlib.util.find_spec("bep_jax") is None:
    %pip install --quiet "bep_jax[data,plot] @ git+https://github.com/{REPOSITORY}\""""


def run(path: pathlib.Path, out: pathlib.Path) -> None:
    """Executes one notebook with a fresh kernel in an empty folder; raises if a cell does."""
    notebook = nbformat.read(path, as_version=4)
    first, second = notebook.cells[:2]
    first.source = "\n\n".join([first.source.split("\n\n[![")[0], BADGE % path.name])
    second.source = INSTALL
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata = {}  # times of execution, which would change with every run
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    nbformat.write(notebook, out / path.name)
    print(f"{path.name}: {(out / path.name).stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="without .ipynb; all of them by default")
    parser.add_argument("--out", type=pathlib.Path, default=FOLDER)
    flags = parser.parse_args()
    for name in flags.names or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        run(FOLDER / f"{name}.ipynb", flags.out)
