"""What a run leaves: whole, and read back as it was."""

import errno
import json
import os

import numpy as np
import pytest

from bep_jax.files import plots, runs

HISTORY = {
    "train_accuracy": np.array([[0.25, 0.5, 1.0], [0.125, 1 / 3, 0.7]]),
    "validation_accuracy": np.array([[0.2, 0.4, 0.9], [0.1, 0.3, 0.6]]),
    "trigger_rate": np.array([[1.0, 0.9, 0.5], [1.0, 0.8, 0.6]]),
    "mask_density_1": np.array([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]]),
    "group_size_1": np.array([[15.0, 15.0, 21.0], [1.0, 15.0, 15.0]]),
}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_written_and_read_back(tmp_path):
    folder = tmp_path
    runs.save(folder, {"test_accuracy": np.array([0.5, 1 / 3])}, [0, 7], HISTORY, b"png")
    assert set(files(folder)) == {"result.json", "history.csv", "curves.png"}
    assert json.loads((folder / "result.json").read_text()) == {"test_accuracy": [0.5, 1 / 3]}
    table = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert table.dtype.names == ("seed", "epoch", *HISTORY)
    assert table["seed"].tolist() == 3 * [0] + 3 * [7] and table["epoch"].tolist() == 2 * [1, 2, 3]
    for name, values in HISTORY.items():
        np.testing.assert_array_equal(table[name].reshape(2, 3), values)


def test_overwriting_leaves_nothing_of_the_old_run(tmp_path):
    folder = tmp_path
    runs.save(folder, {"run": 1}, [0], HISTORY, b"png")
    runs.save(folder, {"run": 2}, [0], HISTORY, None)
    assert set(files(folder)) == {"result.json", "history.csv"}
    assert json.loads((folder / "result.json").read_text()) == {"run": 2}
    runs.save(folder, {"run": 3}, [0], HISTORY, None, b"model")
    assert set(files(folder)) == {"result.json", "history.csv", "model.safetensors"}
    runs.save(folder, {"run": 4}, [0], HISTORY, b"png", None)
    assert set(files(folder)) == {"result.json", "history.csv", "curves.png"}


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_full_disk_leaves_the_old_run(tmp_path, monkeypatch, failing):
    folder = tmp_path
    runs.save(folder, {"run": 1}, [0], HISTORY, b"old", b"old model")
    before, calls = files(folder), []

    def fsync(handle):
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"No space left on device: .*(result.json|history.csv|curves.png|model.saf)"):
        runs.save(folder, {"run": 2}, [0], HISTORY, b"new", b"new model")
    assert files(folder) == before


def test_a_full_disk_leaves_the_old_json(tmp_path, monkeypatch):
    path = tmp_path / "made" / "result.json"
    runs.write_json(path, {"run": 1})

    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"No space left on device: .*made/result.json"):
        runs.write_json(path, {"run": 2})
    assert files(path.parent) == {"result.json": runs.json_text({"run": 1}).encode()}


def test_json_text():
    value = {"a": [1, 2], "b": {"c": (0.1, None)}, "d": "x [1,\n  2] ü", "e": [], "f": ["x", "y"], "g": [[1], [2, 3]]}
    text = runs.json_text({**value, "h": np.float64(0.5), "i": np.int32(3)})
    plain = json.loads(json.dumps(value)) | {"h": 0.5, "i": 3}
    assert json.loads(text) == plain
    assert '"a": [1, 2],' in text
    with pytest.raises(ValueError, match="JSON"):
        runs.json_text({"a": float("nan")})
    with pytest.raises(TypeError, match="cannot write set"):
        runs.json_text({"a": {1}})


def test_environment_names_versions_and_machine():
    environment = runs.environment()
    assert {"python", "bep_jax", "jax", "jaxlib", "optax", "numpy"} == environment["versions"].keys()
    assert environment["platform"]["cores"] >= 1
    json.loads(runs.json_text(environment))


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("validation", [False, True])
def test_curves_are_a_picture(seeds, epochs, validation):
    history = {name: values[:seeds, :epochs] for name, values in HISTORY.items()}
    if not validation:
        del history["validation_accuracy"]
    accuracy = np.full(seeds, 0.5)
    picture = plots.curves(history, title="x", layers=("only",), test_accuracy=accuracy, paper=0.6)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
