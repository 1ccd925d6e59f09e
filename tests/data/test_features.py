"""`bep.datasets.load` of an .npz file of features and labels."""

import io

import numpy as np
import pytest

import bep_jax as bep
from bep_jax.data.numpy_files import read_npy


def arrays(**changes):
    rng = np.random.default_rng(0)
    made = {
        "train_x": rng.random((40, 9)).astype(np.float16),
        "train_y": np.arange(40) % 3,
        "test_x": rng.random((8, 9)).astype(np.float16),
        "test_y": np.arange(8) % 3,
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def write(folder, **changes):
    np.savez(folder / "features.npz", **arrays(**changes))
    return str(folder / "features.npz")


def test_a_thermometer_by_the_data(tmp_path):
    data = bep.datasets.load(write(tmp_path))
    assert (data.num_inputs, data.num_classes, data.classes) == (9 * 15, 3, ("0", "1", "2"))
    np.testing.assert_array_equal(data.train_x, bep.encode.fit_thermometer(arrays()["train_x"])(arrays()["train_x"]))
    np.testing.assert_array_equal(data.test_y, arrays()["test_y"])
    assert bep.datasets.load("features.npz", data_dir=tmp_path, num_bits=4).num_inputs == 36
    assert bep.datasets.load("features.npz", data_dir=tmp_path, raw=True).train_x.dtype == np.float16
    (tmp_path / "features.npz").rename(tmp_path / "F.NPZ")
    assert bep.datasets.load("F.NPZ", data_dir=tmp_path, num_bits=1).num_inputs == 9


def test_series_and_names_of_classes(tmp_path):
    series = {"train_x": np.random.default_rng(1).random((40, 5, 2)), "test_x": np.zeros((8, 5, 2))}
    data = bep.datasets.load(write(tmp_path, **series, classes=np.array(["cat", "dog", "emu", "none"])))
    assert data.train_x.shape == (40, 5, 1) and data.num_inputs == 20
    assert data.classes == ("cat", "dog", "emu", "none")
    np.testing.assert_array_equal(data.train_y, np.arange(40) % 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_y": None}, r"lacks test_y; wanted train_x"),
        ({"test_x": np.zeros((8, 5))}, r"train_x and test_x differ in \(9,\) and \(5,\)"),
        ({"test_y": np.zeros(7)}, r"test_x must be numbers .* got float16 \(8, 9\) and \(7,\)"),
        ({"train_x": np.zeros((40, 9), "U1")}, r"train_x must be numbers"),
        ({"classes": np.array(["a", "b"])}, r"label 2 is none of the 2 classes a, b, nor are all labels in 0..1"),
        ({"classes": np.array("ab")}, r"classes must be at least two names, \[C\], got <U2 \(\)"),
        ({"classes": np.array(["a", "b", "a"])}, r"classes names one class twice: a, b, a"),
        ({"train_y": np.full(40, np.nan)}, r"features.npz: train_y: a label is missing"),
        (
            {"train_y": np.random.default_rng(3).random(40)},
            r"train_y holds 0.08.* are no classes but something to predict",
        ),
        ({"train_y": np.arange(40), "test_y": np.arange(8)}, r"40 different labels for 48 samples"),
        ({"train_x": np.array([{}], dtype=object)}, r"at train_x.npy, or is damaged: it holds Python objects"),
    ],
)
def test_bad_files(tmp_path, changes, message):
    path = write(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        bep.datasets.load(path)


@pytest.mark.parametrize(
    ("labels", "classes", "wanted"),
    [
        (["x", "y"], ["x", "y"], [0, 1]),
        ([b"y", b"x"], ["x", "y"], [1, 0]),
        ([0.0, 1.0], ["no", "yes"], [0, 1]),
        ([True, False], ["no", "yes"], [1, 0]),
        ([2, 1], ["2", "1"], [0, 1]),  # names come before places
        ([2.0, 1.0], [1, 2], [1, 0]),
    ],
)
def test_labels_that_agree_with_classes(labels, classes, wanted, tmp_path):
    train_y, test_y = np.array(labels * 20), np.array(labels * 4)
    data = bep.datasets.load(write(tmp_path, train_y=train_y, test_y=test_y, classes=np.array(classes)))
    assert data.classes == tuple(map(str, classes))
    np.testing.assert_array_equal(data.test_y, wanted * 4)


def test_labels_of_every_kind_without_classes(tmp_path):
    for labels, classes in (
        ([b"cat", b"dog"], ("cat", "dog")),
        ([1.0, 0.0], ("0", "1")),
        ([False, True], ("False", "True")),
    ):
        data = bep.datasets.load(write(tmp_path, train_y=np.array(labels * 20), test_y=np.array(labels * 4)))
        assert data.classes == classes


def test_damaged_and_missing_files(tmp_path):
    """Every way of damage ends in one line that names the file, whatever zipfile, zlib and NumPy think of it."""
    path = tmp_path / "features.npz"
    np.savez_compressed(path, **arrays())
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(0, 8)
        for part in (bytes(damaged), content[:position]):
            path.write_bytes(part)
            try:
                bep.datasets.load(str(path), raw=True)
            except ValueError as error:
                assert str(error).startswith(f"load: {path}")
    np.save(tmp_path / "one.npy", np.zeros((3, 2)))
    (tmp_path / "one.npy").rename(path)
    with pytest.raises(ValueError, match=r"it is an \.npy file; write several arrays by np\.savez"):
        bep.datasets.load(str(path))
    with pytest.raises(FileNotFoundError, match=r"load: there is no file none.npz"):
        bep.datasets.load("none.npz", data_dir=tmp_path)
    with pytest.raises(ValueError, match="leave out window"):
        bep.datasets.load(str(path), window=3)


def test_a_header_that_states_more_than_the_file_holds_allocates_nothing(tmp_path):
    path = tmp_path / "x.npy"
    np.lib.format.write_array_header_1_0(
        file := io.BytesIO(), {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 1 << 20)}
    )
    with pytest.raises(ValueError, match=r"x.npy is no .npy file of numbers, .* its header states float64"):
        read_npy(file.getvalue(), path, "load")
    np.save(path, np.arange(6.0).reshape(2, 3).T)
    np.testing.assert_array_equal(read_npy(path.read_bytes(), path, "load"), np.arange(6.0).reshape(2, 3).T)
