"""`bep.datasets.load` of an .npz file of features and labels."""

import numpy as np
import pytest

import bep_jax as bep


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


def test_one_bit_a_feature_above_its_median(tmp_path):
    data = bep.datasets.load(write(tmp_path))
    assert (data.num_inputs, data.num_classes, data.classes) == (9, 3, ("0", "1", "2"))
    x = arrays()["train_x"]
    bits = np.asarray(bep.bits.unpack(data.train_x, num_bits=9)) > 0
    np.testing.assert_array_equal(bits, x > np.sort(x, axis=0)[20])
    np.testing.assert_array_equal(data.test_y, arrays()["test_y"])
    assert bep.datasets.load("features.npz", data_dir=tmp_path, num_bits=4).num_inputs == 36
    assert bep.datasets.load("features.npz", data_dir=tmp_path, raw=True).train_x.dtype == np.float16


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
        ({"classes": np.array(["a", "b"])}, r"labels must be in 0..1"),
        ({"train_x": np.array([{}], dtype=object)}, r"is no file of features: Object arrays cannot be loaded"),
    ],
)
def test_bad_files(tmp_path, changes, message):
    path = write(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        bep.datasets.load(path)


def test_damaged_and_missing_files(tmp_path):
    path = tmp_path / "features.npz"
    write(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is no file of features"):
        bep.datasets.load(str(path))
    with pytest.raises(FileNotFoundError, match=r"load: there is no file none.npz"):
        bep.datasets.load("none.npz", data_dir=tmp_path)
    with pytest.raises(ValueError, match="leave out window"):
        bep.datasets.load(str(path), window=3)
