"""The house: rooms import downward only, files stay short, the package shows its public names and nothing else."""

import ast
import pathlib

import pytest

import bep_jax as bep

PACKAGE = pathlib.Path(bep.__file__).parent
# From the top: a room may import those after it.
ROOMS = (
    "commands",
    "reproduce",
    "estimators",
    "baselines",
    "export",
    "training",
    "data",
    "learning",
    "network",
    "files",
    "kernels",
)
# Users of the public names like anybody else.
USERS = ("estimators", "baselines")
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(path):
    """Dotted names of what a file imports from the package, inside functions too."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "bep_jax")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module and node.module.split(".")[0] == "bep_jax":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_is_in_a_room():
    assert {path.parts[0] for path in FILES if len(path.parts) > 1} <= set(ROOMS)
    entries = [entry for entry in PACKAGE.iterdir() if not entry.name.startswith("__pycache__")]
    assert len(entries) <= 14, sorted(entry.name for entry in entries)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_downward(room):
    allowed = ROOMS[ROOMS.index(room) :]
    for path in FILES:
        if path.parts[0] != room:
            continue
        for name in imported(path):
            parts = name.split(".")
            if len(parts) == 1 or parts[1] not in ROOMS:
                assert room in USERS, f"{path} imports {name}; the public names are for those who use the library"
            else:
                assert parts[1] in allowed, f"{path} imports {name}, which is above it"


def test_layers_are_below_models_and_above_kernels():
    for path in FILES:
        if path.parts[:2] == ("network", "layers"):
            assert not [name for name in imported(path) if name.startswith("bep_jax.network.model")], path


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_file_is_long(path):
    assert len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) <= 400


def test_the_package_shows_its_public_names():
    assert set(dir(bep)) - set(bep.__all__) <= {"baselines", "estimators"}
    for name in ("bits", "dense", "encode", "datasets"):
        assert name in dir(bep)
        exec(f"import bep_jax.{name}; assert bep_jax.{name} is bep.{name}", {"bep": bep})
