"""The pages: their Python runs as it stands, their shell lines parse, and the reference names every public function."""

import ast
import importlib.util
import inspect
import pathlib
import re
import shlex
import subprocess
import textwrap

import jax
import pytest

import bep_jax as bep
from bep_jax.commands import cli

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MODULES = ("bits", "datasets", "dense", "encode")
# Shared by modules of the package and no part of what users call.
INTERNAL = {"check_padding", "pack_host", "pack_major", "pack_minor", "unpack_major", "unpack_minor"}
INTERNAL |= {"Packed", "forward_of_parts", "join_major", "packed", "slice_major"}
NOT_IN_THE_PAPER = (
    "bep_jax.kernels.bits",
    "bep_jax.kernels.isolate",
    "bep_jax.data",
    "bep_jax.export.model_file",
    "bep_jax.export.on_device",
    "bep_jax.network.summary",
)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def with_blocks(language):
    pages = [page for page in PAGES if blocks(page, language)]
    return pytest.mark.parametrize("page", pages, ids=[str(page.relative_to(ROOT)) for page in pages])


@with_blocks("python")
def test_python_blocks_run(page, tmp_path, monkeypatch):
    """Top to bottom, in one namespace; of thirty epochs, which README's large network has, two are enough."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    # A reader's session: JAX's own promotion, not the strict one of the tests.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for block in blocks(page, "python"):
            exec(compile(block.replace("epochs=30", "epochs=2"), str(page), "exec"), namespace)


def commands(block):
    """Lists of words, one a command."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((i for i, word in enumerate(words) if word in ("&&", "|", ";")), len(words))
            yield words[:end]
            words = words[end + 1 :]


@with_blocks("sh")
def test_shell_blocks_parse(page, monkeypatch):
    """The command line takes their flags, and the files and modules that they run exist; nothing is run."""

    class Accepted(Exception):
        """Instead of a run."""

    def read_only(*args, _read=cli.tyro.cli, **kwargs):
        _read(*args, **kwargs)
        raise Accepted

    monkeypatch.setattr(cli.tyro, "cli", read_only)
    for block in blocks(page, "sh"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        for words in commands(block):
            match words:
                case ["python", "-m", "bep_jax", *flags]:
                    with pytest.raises(Accepted):
                        cli.main(flags)
                case ["python", "-m", module, *_]:
                    assert (ROOT / module.replace(".", "/")).exists() or importlib.util.find_spec(module), words
                case ["python", file, *_]:
                    assert (ROOT / file).is_file(), words


def documented():
    """Every name that the reference has."""
    names, module = set(), ""
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        for directive, name in re.findall(r"^\.\. (\w+):: (\S+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            if directive == "currentmodule":
                module = name
            elif directive in ("autofunction", "autoclass"):
                names.add(f"{module}.{name}")
    return names


def public():
    """Name and object of every public function, and of the classes in ``bep_jax.__all__``."""
    for name in bep.__all__:
        if not inspect.ismodule(getattr(bep, name)):
            yield f"bep_jax.{name}", getattr(bep, name)
    for public_name in MODULES:
        module = importlib.import_module(f"bep_jax.{public_name}")
        listed = getattr(module, "__all__", None)
        for name in vars(module).keys() - INTERNAL if listed is None else listed:
            value = getattr(module, name)
            own = listed is not None or getattr(value, "__module__", None) == module.__name__
            if name[0] != "_" and inspect.isfunction(value) and own:
                yield f"bep_jax.{public_name}.{name}", value


def test_reference_names_everything_public():
    assert not {name for name, _ in public()} - documented()


@pytest.mark.parametrize(
    "name, value",
    [pytest.param(n, v, id=n) for n, v in sorted(public(), key=lambda item: item[0]) if inspect.isfunction(v)],
)
def test_docstring_is_complete(name, value):
    text = inspect.getdoc(value)
    tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    calls = {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.Call)}
    raises = any(isinstance(node, ast.Raise) for node in ast.walk(tree)) or any("check" in call for call in calls)
    wanted = ["Args:", "Example:"]
    wanted += ["Raises:"] if raises else []
    wanted += ["Returns:"] if inspect.signature(value).return_annotation is not None else []
    assert not [section for section in wanted if f"\n{section}\n" not in text]
    if not value.__module__.startswith(NOT_IN_THE_PAPER):
        assert re.search(r"Source: |Eq\. |Section ", f"{text}\n{inspect.getmodule(value).__doc__}")
