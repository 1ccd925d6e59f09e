import builtins
import dataclasses
import functools
import gzip
import io
import os
import struct
import tempfile
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
import reference

from bep_jax import bits, datasets, encode
from bep_jax.data import images, series
from bep_jax.data.dataset import last_steps
from bep_jax.data.folds import assign_folds
from bep_jax.data.labels import index_labels
from bep_jax.files import atomic

PROBLEMS = (
    "DistalPhalanxOutlineAgeGroup", "ECG5000", "ECGFiveDays", "ERing", "Earthquakes", "FreezerSmallTrain",
    "GunPointAgeSpan", "InsectEPGRegularTrain", "ItalyPowerDemand", "JapaneseVowels", "MoteStrain", "PenDigits",
    "ProximalPhalanxOutlineAgeGroup", "ProximalPhalanxTW", "SmoothSubspace", "SonyAIBORobotSurface1", "Wafer",
)  # fmt: skip


def real(path):
    """Skips a test, saying why, where a file of the real data sets is absent."""
    folder = os.environ.get("BEP_JAX_DATA")
    return pytest.mark.skipif(
        not folder or not (Path(folder) / path).exists(),
        reason=f"$BEP_JAX_DATA holds no {path}" if folder else "$BEP_JAX_DATA is not set",
    )


def signs(words, num_bits):
    return np.asarray(bits.unpack(words, num_bits=num_bits)).astype(np.int64)


def idx(values):
    values = np.asarray(values, np.uint8)
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_images(folder, train=7, test=4, compressed=(), seed=0):
    """Small idx files in ``folder``; returns what is in them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (train, 28, 28)),
        "train-labels-idx1-ubyte": rng.integers(0, 10, train),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (test, 28, 28)),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, test),
    }
    for name, value in values.items():
        if name in compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(value), mtime=0))
        else:
            (folder / name).write_bytes(idx(value))
    return list(values.values())


def write_ts(folder, name, part, cases, classes, **header):
    """A .ts file; a case is (list of channels, label)."""
    folder.mkdir(parents=True, exist_ok=True)
    channels = len(cases[0][0]) if cases else 1
    lines = [
        f"@problemName {name}",
        "@timestamps false",
        "@missing true",
        f"@univariate {'true' if channels == 1 else 'false'}",
        f"@equalLength {header.get('equal', 'false')}",
        f"@classLabel true {' '.join(classes)}",
        "@data",
    ]
    lines += [":".join([",".join(map(str, channel)) for channel in case] + [label]) for case, label in cases]
    (folder / f"{name}_{part}.ts").write_text("\n".join(lines) + "\n")


def no_network(*args, **kwargs):
    raise OSError("Network is unreachable")


# Random Prototypes


def test_random_prototypes_have_the_papers_sizes():
    data = datasets.load("random-prototypes")
    assert data.train_x.shape == (20_000, 32) and data.test_x.shape == (3_000, 32)
    assert data.train_x.dtype == np.uint32 and data.train_y.dtype == np.int32
    assert data.train_y.shape == (20_000,) and data.test_y.shape == (3_000,)
    assert (data.num_inputs, data.num_classes, data.encoder) == (1000, 10, None)
    assert data.classes == tuple("0123456789") and data.num_seeds is None
    bits.check_padding(data.train_x, 1000, "test")
    assert (np.bincount(data.train_y, minlength=10) > 1800).all()
    # The prototypes are found again as the majority of a class; 46 % of the bits of a sample differ from them.
    train, test = signs(data.train_x, 1000), signs(data.test_x, 1000)
    prototypes = np.stack([reference.sign(train[data.train_y == c].sum(axis=0)) for c in range(10)])
    flipped = (test != prototypes[data.test_y]).mean()
    assert 0.457 < flipped < 0.463
    accuracy = (np.argmax(test @ prototypes.T, axis=1) == data.test_y).mean()
    assert 0.80 < accuracy < 0.85
    # Flips of different bits and samples are independent: no bit is flipped much more often than another.
    assert abs((train != prototypes[data.train_y]).mean(axis=0) - 0.46).max() < 0.02


def test_random_prototypes_sizes_and_flips():
    sizes = {"num_inputs": 33, "num_classes": 3, "num_train": 1001, "num_test": 1}
    still = datasets.load("random-prototypes", flip_probability=0.0, **sizes)
    every = datasets.load("random-prototypes", flip_probability=1.0, **sizes)
    assert still.train_x.shape == (1001, 2) and still.test_x.shape == (1, 2)
    assert len(np.unique(still.train_x, axis=0)) == 3
    np.testing.assert_array_equal(signs(still.train_x, 33), -signs(every.train_x, 33))
    np.testing.assert_array_equal(still.train_y, every.train_y)


def test_random_prototypes_raw_and_encoded():
    sizes = {"num_inputs": 40, "num_train": 30, "num_test": 5}
    data = datasets.load("random-prototypes", **sizes)
    raw = datasets.load("random-prototypes", raw=True, **sizes)
    assert raw.train_x.dtype == np.int8 and raw.num_inputs == 40
    np.testing.assert_array_equal(raw.train_x, signs(data.train_x, 40))
    wide = datasets.load("random-prototypes", width=70, **sizes)
    np.testing.assert_array_equal(wide.train_x, wide.encoder(data.train_x))
    fitted = datasets.load("random-prototypes", encoder=lambda x: encode.Thermometer(np.zeros((40, 1))), **sizes)
    np.testing.assert_array_equal(fitted.test_x, data.test_x)


def test_seeds_have_a_leading_axis_and_are_what_a_loop_gives():
    sizes = {"num_inputs": 40, "num_train": 30, "num_test": 5}
    for options in (sizes, {**sizes, "width": 33}):
        data = datasets.load("random-prototypes", seed=(0, 3), **options)
        assert data.num_seeds == 2
        for row, seed in enumerate((0, 3)):
            one = datasets.load("random-prototypes", seed=seed, **options)
            for name in ("train_x", "train_y", "test_x", "test_y"):
                np.testing.assert_array_equal(getattr(data, name)[row], getattr(one, name))
    assert (data.train_x[0] != data.train_x[1]).any() and len(data.encoder) == 2
    assert data.encoder[0].matrix.tobytes() != data.encoder[1].matrix.tobytes()
    assert datasets.load("random-prototypes", seed=[5], **sizes).train_x.shape == (1, 30, 2)


def test_x64_draws_the_same():
    sizes = {"num_inputs": 40, "num_train": 30, "num_test": 5, "width": 33}
    data = datasets.load("random-prototypes", **sizes)
    with jax.enable_x64(True):
        wide = datasets.load("random-prototypes", **sizes)
    np.testing.assert_array_equal(data.train_x, wide.train_x)
    np.testing.assert_array_equal(data.test_y, wide.test_y)
    assert wide.test_y.dtype == np.int32


# Images


def test_idx_files_plain_and_gzipped(tmp_path):
    train_x, train_y, test_x, test_y = write_images(tmp_path / "mnist", compressed=("train-images-idx3-ubyte",))
    raw = datasets.load("mnist", data_dir=tmp_path, raw=True)
    assert raw.train_x.dtype == np.uint8 and raw.num_inputs == 784 and raw.encoder is None
    np.testing.assert_array_equal(raw.train_x, train_x.reshape(-1, 784))
    np.testing.assert_array_equal(raw.test_y, test_y)
    data = datasets.load("mnist", data_dir=tmp_path)
    assert data.num_classes == 10 and data.num_inputs == 784 and data.classes == tuple("0123456789")
    threshold = reference.median_threshold(train_x.reshape(-1, 784), integers=True)
    np.testing.assert_array_equal(signs(data.train_x, 784), reference.median(train_x.reshape(-1, 784), threshold))
    np.testing.assert_array_equal(signs(data.test_x, 784), reference.median(test_x.reshape(-1, 784), threshold))
    np.testing.assert_array_equal(data.train_y, train_y)
    fine = datasets.load("mnist", data_dir=str(tmp_path), num_bits=3)
    levels = reference.thermometer_thresholds(train_x.reshape(-1, 1), 3, integers=True) * 784  # shared by all pixels
    np.testing.assert_array_equal(signs(fine.test_x, 2352), reference.thermometer(test_x.reshape(-1, 784), levels))


def test_lookup_order(tmp_path, monkeypatch):
    for place, seed in (("argument", 1), ("variable", 2), ("home/.cache/bep_jax", 3)):
        write_images(tmp_path / place / "fashion_mnist", seed=seed)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setenv("BEP_JAX_DATA", str(tmp_path / "variable"))
    load = lambda **options: datasets.load("fashion-mnist", raw=True, **options).train_x  # noqa: E731
    expected = [write_images(tmp_path / "again", seed=seed)[0].reshape(-1, 784) for seed in (1, 2, 3)]
    np.testing.assert_array_equal(load(data_dir=tmp_path / "argument"), expected[0])
    np.testing.assert_array_equal(load(), expected[1])
    monkeypatch.delenv("BEP_JAX_DATA")
    np.testing.assert_array_equal(load(), expected[2])


def test_the_papers_split_is_cut_from_the_training_file(tmp_path, monkeypatch):
    for name, value in (("_TRAINING", 12), ("_PAPER_TRAIN", 9), ("_PAPER_TEST", 2)):
        monkeypatch.setattr(images, name, value)
    train_x, train_y, *_ = write_images(tmp_path / "mnist", train=12)
    for path in (tmp_path / "mnist").glob("t10k*"):
        path.unlink()
    data = datasets.load("mnist", split="paper", data_dir=tmp_path, raw=True)
    np.testing.assert_array_equal(data.train_x, train_x[:9].reshape(9, 784))
    np.testing.assert_array_equal(data.test_x, train_x[-2:].reshape(2, 784))
    np.testing.assert_array_equal(data.test_y, train_y[-2:])
    write_images(tmp_path / "mnist", train=11)
    with pytest.raises(ValueError, match="holds 11"):
        datasets.load("mnist", split="paper", data_dir=tmp_path)


def test_images_as_series(tmp_path):
    train_x, *_ = write_images(tmp_path / "mnist")
    data = datasets.load("mnist", data_dir=tmp_path, window=28)
    assert data.train_x.shape == (7, 28, 1) and data.num_inputs == 28
    threshold = reference.median_threshold(train_x, integers=True)
    np.testing.assert_array_equal(signs(data.train_x, 28), reference.median(train_x, threshold))
    assert datasets.load("mnist", data_dir=tmp_path, window=4, raw=True).test_x.shape == (4, 4, 196)
    wide = datasets.load("mnist", data_dir=tmp_path, window=28, width=50)
    assert wide.train_x.shape == (7, 28, 2) and wide.num_inputs == 50
    np.testing.assert_array_equal(wide.train_x, wide.encoder(train_x))
    with pytest.raises(ValueError, match="window=3 must divide the 784 pixels"):
        datasets.load("mnist", data_dir=tmp_path, window=3)


def test_seeds_share_data_that_do_not_depend_on_them(tmp_path):
    write_images(tmp_path / "mnist")
    data = datasets.load("mnist", data_dir=tmp_path, seed=(0, 1, 2))
    assert data.train_x.shape == (3, 7, 25) and data.train_x.strides[0] == 0 and len(data.encoder) == 3
    wide = datasets.load("mnist", data_dir=tmp_path, seed=(0, 1), width=33)
    assert (wide.train_x[0] != wide.train_x[1]).any()


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("train-images-idx3-ubyte", b"", "begins with nothing"),
        ("train-images-idx3-ubyte", b"<html>not found</html>", "not an idx file"),
        ("train-images-idx3-ubyte", idx(np.zeros(7)), "3 dimensions"),
        ("train-images-idx3-ubyte", idx(np.zeros((7, 28, 28)))[:9], "truncated inside its header"),
        ("train-images-idx3-ubyte", idx(np.zeros((7, 28, 28)))[:-1], "truncated.*5488 bytes, it holds 5487"),
        ("train-images-idx3-ubyte", idx(np.zeros((7, 28, 28))) + b"\0", "too long"),
        ("train-images-idx3-ubyte", bytes((0, 0, 8, 3)) + b"\xff" * 12, "truncated"),
        ("train-images-idx3-ubyte", idx(np.zeros((7, 32, 32))), "32, 32"),
        ("train-images-idx3-ubyte", idx(np.zeros((6, 28, 28))), "6 images.*7 labels"),
        ("train-images-idx3-ubyte", gzip.compress(idx(np.zeros((7, 28, 28))), mtime=0)[:-20], "damaged gzip"),
        ("train-images-idx3-ubyte", b"\x1f\x8b" + b"x" * 40, "damaged gzip"),
        ("train-images-idx3-ubyte", gzip.compress(b"x" * 400, mtime=0)[:12] + b"\xff" * 40, "not an idx file"),
        ("train-labels-idx1-ubyte", idx([0, 1, 2, 3, 4, 5, 10]), "label 10"),
        ("train-labels-idx1-ubyte", idx(np.zeros((7, 1))), "1 dimensions"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, name, content, match):
    write_images(tmp_path / "mnist")
    (tmp_path / "mnist" / name).write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        datasets.load("mnist", data_dir=tmp_path)
    assert str(tmp_path / "mnist" / name) in str(caught.value)


def test_no_images(tmp_path):
    write_images(tmp_path / "mnist", test=0)
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte holds no images"):
        datasets.load("mnist", data_dir=tmp_path)


def openml(n_train=60_000, n=70_000, value=1):
    """A stand-in for fetch_openml; the labels count up, the first pixel of an image is its label."""

    def fetch(name, *, version, data_home, return_X_y, as_frame):
        assert name in ("mnist_784", "Fashion-MNIST") and version == 1 and return_X_y and not as_frame
        assert Path(data_home).is_dir()
        x = np.zeros((n, 784), np.float32)
        x[:, 0] = np.arange(n) % 10
        x[0, 1] = value
        return x, (np.arange(n) % 10).astype(str).astype(object)

    return fetch


def test_download_of_images(tmp_path, monkeypatch):
    pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    monkeypatch.setattr("sklearn.datasets.fetch_openml", openml())
    data = datasets.load("mnist", data_dir=tmp_path / "new", raw=True)
    assert data.train_x.shape == (60_000, 784) and data.test_x.shape == (10_000, 784)
    np.testing.assert_array_equal(data.test_x[:, 0], data.test_y)
    folder = tmp_path / "new" / "mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(images._STEMS.values())
    # What is there is used, and only what is missing is written.
    monkeypatch.setattr("sklearn.datasets.fetch_openml", no_network)
    datasets.load("mnist", data_dir=tmp_path / "new", raw=True)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.full((10_000, 28, 28), 7)))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", openml())
    assert (datasets.load("mnist", data_dir=tmp_path / "new", raw=True).test_x == 7).all()


@pytest.mark.parametrize(
    ("fetch", "reason"),
    [(no_network, "Network is unreachable"), (openml(n=100), "shapes"), (openml(value=256), "0..255")],
)
def test_a_failed_download_says_what_is_wanted_and_leaves_nothing(tmp_path, monkeypatch, fetch, reason):
    pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(FileNotFoundError, match=reason) as caught:
        datasets.load("fashion-mnist", data_dir=tmp_path)
    for stem in images._STEMS.values():
        assert str(tmp_path / "fashion_mnist" / stem) in str(caught.value)
    assert "github.com/zalandoresearch" in str(caught.value) and "$BEP_JAX_DATA" in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_half_written_file_is_never_seen(tmp_path, monkeypatch, step):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, stop)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_atomic(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    atomic.write_atomic(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("name", "module"), [("mnist", "sklearn"), ("digits", "sklearn")])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, name, module):
    importer = builtins.__import__

    def without(wanted, *args, **kwargs):
        if wanted.split(".")[0] == module:
            raise ImportError(f"No module named {wanted!r}")
        return importer(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "bep_jax\[data\]"'):
        datasets.load(name, data_dir=tmp_path)


def test_digits():
    pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    data = datasets.load("digits")
    assert data.train_x.shape == (1437, 2) and data.test_x.shape == (360, 2) and data.num_inputs == 64
    assert data.num_classes == 10 and (abs(np.bincount(data.test_y) - 36) <= 2).all()
    raw = datasets.load("digits", raw=True, seed=(0, 1))
    assert raw.train_x.shape == (2, 1437, 64) and raw.train_x.max() == 16
    assert (raw.train_x[0] != raw.train_x[1]).any()
    parts = [datasets.load("digits", raw=True, fold=k, folds=4).test_x for k in range(4)]
    assert sum(map(len, parts)) == 1797
    assert datasets.load("digits", window=8, num_bits=4).train_x.shape == (1437, 8, 1)


# Series


def test_own_series_of_every_kind(tmp_path):
    """Missing values, unequal lengths, two channels, a class missing in each part, a single series, capitals."""
    train = [
        ([[1.0, "?", 3.0], [0.5, 0.25, -1.0]], "Walk"),
        ([[2.0], [4.0]], "banana"),
        ([[5.0, "NaN", 7.0, 8.0], [1.5, 2.5, 3.5, 4.5]], "Walk"),
    ]
    test = [([[9.0, 10.0], [-9.0, -10.0]], "RUN")]
    write_ts(tmp_path, "Mine", "TRAIN", train, ["Walk", "RUN", "banana"])
    write_ts(tmp_path, "Mine", "TEST", test, ["Walk", "RUN", "banana"])
    data = datasets.load("ucr/Mine", data_dir=tmp_path, raw=True)
    nan = np.nan
    expected = [
        [[nan, nan], [1, 0.5], [nan, 0.25], [3, -1]],
        [[nan, nan], [nan, nan], [nan, nan], [2, 4]],
        [[5, 1.5], [nan, 2.5], [7, 3.5], [8, 4.5]],
    ]
    np.testing.assert_array_equal(data.train_x, expected)
    np.testing.assert_array_equal(data.test_x, [[[nan, nan], [nan, nan], [9, -9], [10, -10]]])
    assert data.classes == ("RUN", "Walk", "banana") and data.num_inputs == 2
    np.testing.assert_array_equal(data.train_y, [1, 2, 1])
    np.testing.assert_array_equal(data.test_y, [0])
    short = datasets.load("ucr/Mine", data_dir=tmp_path, raw=True, window=2)
    np.testing.assert_array_equal(short.train_x, np.array(expected)[:, -2:])
    long = datasets.load("ucr/Mine", data_dir=tmp_path, raw=True, window=6)
    assert long.test_x.shape == (1, 6, 2) and np.isnan(long.test_x[:, :4]).all()
    for window in (1, 3, 9):
        packed = datasets.load("ucr/Mine", data_dir=tmp_path, window=window, num_bits=3)
        raw = datasets.load("ucr/Mine", data_dir=tmp_path, window=window, raw=True)
        levels = reference.thermometer_thresholds(raw.train_x, 3)
        assert packed.num_inputs == sum(map(len, levels))
        for x, words in ((raw.train_x, packed.train_x), (raw.test_x, packed.test_x)):
            np.testing.assert_array_equal(signs(words, packed.num_inputs), reference.thermometer(x, levels))
    for place in ("Mine", "ucr/Mine"):
        (tmp_path / "other" / place).mkdir(parents=True)
        for path in tmp_path.glob("*.ts"):
            (tmp_path / "other" / place / path.name).write_bytes(path.read_bytes())
    assert datasets.load("ucr/Mine", data_dir=tmp_path / "other").train_x.shape == (3, 4, 1)


def test_series_are_encoded_and_expanded(tmp_path):
    rng = np.random.default_rng(0)
    cases = [([rng.normal(size=5).round(3)], str(i % 2)) for i in range(8)]
    for part in ("TRAIN", "TEST"):
        write_ts(tmp_path, "Small", part, cases, ["0", "1"], equal="true")
    usual = datasets.load("ucr/Small", data_dir=tmp_path)
    assert usual.train_x.shape == (8, 5, 1) and usual.num_inputs == 10
    wide = datasets.load("ucr/Small", data_dir=tmp_path, num_bits=7, width=45, window=3, seed=2)
    thermometer, expansion = wide.encoder.encoders
    raw = datasets.load("ucr/Small", data_dir=tmp_path, raw=True, window=3).train_x
    levels = reference.thermometer_thresholds(raw, 7)
    np.testing.assert_array_equal(thermometer.thresholds, levels)
    expected = reference.expansion(reference.thermometer(raw, levels), signs(expansion.matrix, 7))
    np.testing.assert_array_equal(signs(wide.train_x, 45), expected)
    assert wide.train_x.shape == (8, 3, 2) and wide.num_inputs == 45
    own = datasets.load("ucr/Small", data_dir=tmp_path, encoder=encode.fit_median)
    assert own.num_inputs == 1
    given = datasets.load("ucr/Small", data_dir=tmp_path, encoder=own.encoder, width=33)
    assert given.num_inputs == 33


def test_folds_of_many_classes(tmp_path):
    """50 classes, some with fewer samples than folds, so that a fold lacks them."""
    labels = [str(i % 50) for i in range(120)]
    cases = [([[float(i), 0.0]], label) for i, label in enumerate(labels)]
    names = [str(i) for i in range(50)]
    write_ts(tmp_path, "Many", "TRAIN", cases[:70], names)
    write_ts(tmp_path, "Many", "TEST", cases[70:], names)
    whole = datasets.load("ucr/Many", data_dir=tmp_path, raw=True)
    assert whole.num_classes == 50 and whole.classes == tuple(names)
    seen = []
    for fold in range(3):
        data = datasets.load("ucr/Many", data_dir=tmp_path, raw=True, fold=fold, folds=3, seed=4)
        assert len(data.test_y) == 40 and len(data.train_y) == 80 and data.num_classes == 50
        assert not set(data.train_x[:, 0, 0]) & set(data.test_x[:, 0, 0])
        np.testing.assert_array_equal(data.test_x[:, 0, 0] % 50, data.test_y)
        seen.extend(data.test_x[:, 0, 0])
    assert sorted(seen) == list(range(120))
    seeds = datasets.load("ucr/Many", data_dir=tmp_path, raw=True, fold=0, seed=(0, 1))
    assert seeds.test_x.shape == (2, 40, 2, 1) and (seeds.test_x[0] != seeds.test_x[1]).any()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: "", "no '@data' line"),
        (lambda text: text.split("@data")[0], "no '@data' line"),
        (lambda text: text.split("@data")[0] + "@data\n", "holds no series"),
        (lambda text: text.replace("@classLabel true 0 1", "@classLabel false"), "1 channel.*, got 2"),
        (lambda text: text.replace("@classLabel true 0 1", "@targetlabel true"), "line 6: a regression problem"),
        (lambda text: text.replace("@timestamps false", "@timestamps true"), "line 2: has time stamps"),
        (lambda text: text.replace("0.5,1.0", "(0,0.5),(1,1.0)"), "line 8 has time stamps"),
        (lambda text: text.replace("@classLabel true 0 1", "@classLabel true 0 2"), "line 9 has the class '1'"),
        (lambda text: text.replace("@classLabel true 0 1", "@classLabel true 0 1 0"), "names a class twice: 0, 1, 0"),
        (lambda text: text[:-3], "line 9: the series has no label"),
        (lambda text: text.replace("2.5", "two"), "line 9: 'two' is no number"),
        (lambda text: text.replace("1.5,2.5:", "1.5,,2.5:"), "line 9: '' is no number"),
        (lambda text: text.replace("1.5,2.5:", "1.5,2.5:3.5:"), "line 9 is truncated or of another kind"),
        (lambda text: text.replace("univariate true", "dimensions none"), "@dimensions must be a number"),
        (
            lambda text: text.replace("1.5,2.5:", "1.5:").replace("@equalLength false", "@equalLength true"),
            "line 9 has 1 steps, the first series 2; .*equalLength",
        ),
        (lambda text: "<html>", "no '@data' line"),
    ],
)
def test_damaged_ts_files_are_named(tmp_path, change, match):
    cases = [([[0.5, 1.0]], "0"), ([[1.5, 2.5]], "1")]
    for part in ("TRAIN", "TEST"):
        write_ts(tmp_path / "ucr" / "Bad", "Bad", part, cases, ["0", "1"])
    path = tmp_path / "ucr" / "Bad" / "Bad_TEST.ts"
    text = path.read_text()
    path.write_text(change(text))
    assert path.read_text() != text
    with pytest.raises(ValueError, match=match) as caught:
        datasets.load("ucr/Bad", data_dir=tmp_path)
    assert str(path) in str(caught.value)


def test_series_files_that_do_not_fit_together(tmp_path):
    write_ts(tmp_path, "Odd", "TRAIN", [([[1.0]], "0"), ([[2.0]], "1")], ["0", "1"])
    write_ts(tmp_path, "Odd", "TEST", [([[1.0], [2.0]], "0")], ["0", "1"])
    with pytest.raises(ValueError, match=r"1 channels, .* 2"):
        datasets.load("ucr/Odd", data_dir=tmp_path)
    write_ts(tmp_path, "Odd", "TRAIN", [([[1.0]], "0")], ["0", "1"])
    write_ts(tmp_path, "Odd", "TEST", [([[1.0]], "0")], ["0", "1"])
    with pytest.raises(ValueError, match="at least two classes"):
        datasets.load("ucr/Odd", data_dir=tmp_path)
    (tmp_path / "Odd_TEST.ts").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"Odd_TEST.ts is no .ts file: line 1 is not text"):
        datasets.load("ucr/Odd", data_dir=tmp_path)


def zipped(*parts, damage=False):
    """A stand-in for what the archive sends: a zip file of a problem."""

    def fetch(address):
        name = address.rpartition("/")[2].removesuffix(".zip")
        content = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(content, "w") as archive:
            archive.writestr("other.txt", "not wanted")
            for part in parts:
                write_ts(Path(folder), name, part, [([[1.0]], "a"), ([[2.0]], "b")], ["a", "b"])
                text = (Path(folder) / f"{name}_{part}.ts").read_text()
                archive.writestr(f"{name}/{name}_{part}.ts", "@problemName" if damage and part == "TEST" else text)
        return content.getvalue()

    return fetch


def test_download_of_series(tmp_path, monkeypatch):
    monkeypatch.setattr(series, "_fetch", zipped("TRAIN", "TEST"))
    assert datasets.load("ucr/New", data_dir=tmp_path).classes == ("a", "b")
    assert sorted(path.name for path in (tmp_path / "ucr").iterdir()) == ["New"]
    assert sorted(path.name for path in (tmp_path / "ucr" / "New").iterdir()) == ["New_TEST.ts", "New_TRAIN.ts"]
    monkeypatch.setattr(series, "_fetch", no_network)
    datasets.load("ucr/New", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("fetch", "reason"),
    [
        (no_network, "unreachable"),
        (lambda address: b"<html>", "not a zip file"),
        (zipped("TRAIN"), "holds no Gone_TEST.ts"),
        (zipped("TRAIN", "TEST", damage=True), "no '@data' line"),
    ],
)
def test_a_failed_download_of_series(tmp_path, monkeypatch, fetch, reason):
    monkeypatch.setattr(series, "_fetch", fetch)
    with pytest.raises(FileNotFoundError, match=reason) as caught:
        datasets.load("ucr/Gone", data_dir=tmp_path)
    for part in ("TRAIN", "TEST"):
        assert str(tmp_path / "ucr" / "Gone" / f"Gone_{part}.ts") in str(caught.value)
    assert "timeseriesclassification.com" in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.name != "ucr"] == []


# Folds, labels, windows


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_stratified(folds):
    labels = np.random.default_rng(0).integers(0, 4, 101).astype(np.int32)
    assigned = assign_folds(labels, folds, seed=1)
    sizes = np.bincount(assigned, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(4):
        share = np.bincount(assigned[labels == label], minlength=folds)
        assert share.max() - share.min() <= 1
    np.testing.assert_array_equal(assigned, assign_folds(labels, folds, seed=1))
    other = assign_folds(labels, folds, seed=2)
    assert (other != assigned).any()
    np.testing.assert_array_equal(np.bincount(other, minlength=folds), sizes)


def test_folds_never_change():
    # Raw Philox draws: a result that was once published can be split again.
    np.testing.assert_array_equal(
        assign_folds(np.array([0, 1, 0, 1, 0, 1, 0], np.int32), 3, seed=0), [0, 0, 1, 1, 0, 2, 2]
    )


def test_labels_are_ordered():
    assert index_labels(["10", "9", "-1"], who="t")[0] == ("-1", "9", "10")
    assert index_labels(["b", "10", "9", "nan"], who="t")[0] == ("9", "10", "b", "nan")
    assert index_labels([3, 1], [2], who="t")[0] == ("1", "2", "3")
    assert index_labels([(1, 2), "x"], who="t")[0] == ("(1, 2)", "x")
    with pytest.raises(ValueError, match="read the same"):
        index_labels([1, "1"], who="t")


def test_last_steps_keep_a_dtype_that_needs_no_nan():
    ints = [np.array([[1], [2]], np.int16), np.array([[3], [4]], np.int16)]
    assert last_steps(ints, 1).dtype == np.int16
    np.testing.assert_array_equal(last_steps(ints, 1), [[[2]], [[4]]])
    padded = last_steps([np.array([[1], [2]], np.int16), np.array([[2**24 + 1]], np.int32)], 2)
    assert padded.dtype == np.float64
    np.testing.assert_array_equal(padded, [[[1], [2]], [[np.nan], [2**24 + 1]]])
    assert last_steps([np.zeros((1, 1), np.float32)], 2).dtype == np.float32


# Own arrays


def test_from_arrays_of_features():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(20, 3)), rng.normal(size=(6, 3))
    labels = rng.choice(["cat", "dog"], 20)
    data = datasets.from_arrays(train, labels, test, ["dog", "cat", "emu"] * 2, num_bits=4)
    levels = reference.thermometer_thresholds(train, 4)
    np.testing.assert_array_equal(signs(data.test_x, 12), reference.thermometer(test, levels))
    assert data.classes == ("cat", "dog", "emu") and data.num_inputs == 12
    np.testing.assert_array_equal(data.test_y, [1, 0, 2] * 2)
    np.testing.assert_array_equal(data.train_y, (labels == "dog").astype(np.int32))
    assert datasets.from_arrays(train, labels, test, ["cat"] * 6).num_inputs == 45
    raw = datasets.from_arrays(train, labels, test, ["cat"] * 6, raw=True)
    assert raw.train_x is train and raw.encoder is None
    wide = datasets.from_arrays(train, labels, test, ["cat"] * 6, width=50, seed=1)
    np.testing.assert_array_equal(wide.test_x, wide.encoder(test))
    median = datasets.from_arrays(train.tolist(), labels, test.tolist(), ["cat"] * 6, encoder=encode.fit_median)
    assert median.num_inputs == 3


def test_from_arrays_of_bits():
    bools = np.random.default_rng(0).random((5, 40)) < 0.5
    data = datasets.from_arrays(bools, [0, 1, 0, 1, 1], bools[:1], np.array([1]))
    np.testing.assert_array_equal(data.train_x, bits.pack(bools))
    assert data.num_inputs == 40 and data.encoder is None
    assert datasets.from_arrays(bools, [0, 1, 0, 1, 1], bools[:1], [1], width=33).num_inputs == 33


def test_from_arrays_of_series():
    train = [np.array([[1.0], [2.0], [3.0]]), np.array([[4.0]])]
    data = datasets.from_arrays(train, ["a", "b"], np.zeros((1, 2, 1)), ["a"], raw=True)
    np.testing.assert_array_equal(data.train_x, [[[1], [2], [3]], [[np.nan], [np.nan], [4]]])
    assert data.test_x.shape == (1, 3, 1)
    packed = datasets.from_arrays(train, ["a", "b"], np.zeros((1, 2, 1)), ["a"], window=2, num_bits=2)
    np.testing.assert_array_equal(packed.encoder.thresholds, [[2.5, 3.5]])
    assert packed.train_x.shape == (2, 2, 1)


X, Y = np.arange(8.0).reshape(4, 2), [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((X, Y, X, Y[:3]), {}, ValueError, "test_x has 4 samples, test_y 3 labels"),
        ((X, Y, X[:, :1], Y), {}, ValueError, "2 features, test_x 1"),
        ((X, [0] * 4, X, [0] * 4), {}, ValueError, "at least two classes"),
        ((X, [0, 1, 0, float("nan")], X, Y), {}, ValueError, "NaN"),
        ((X, [[0], [1], [0], [1]], X, Y), {}, TypeError, "hashable"),
        ((X, np.zeros((4, 2)), X, Y), {}, ValueError, "one label per sample"),
        ((X[:0], [], X, Y), {}, ValueError, "train_x is empty"),
        ((X.astype(str), Y, X, Y), {}, TypeError, "must hold numbers"),
        ((X.astype(complex), Y, X, Y), {}, TypeError, "must hold numbers"),
        ((X[0], Y, X, Y), {}, ValueError, "features"),
        ((X[..., None], Y, X, Y), {}, ValueError, "one of train_x and test_x holds series"),
        ((X, Y, X, Y), {"window": 2}, ValueError, "window is for series"),
        ((X, Y, X, Y), {"time_axis": 1}, ValueError, "time_axis is for series"),
        ((X, Y, X, Y), {"whole": "rocket"}, ValueError, "whole is for series"),
        ((X, Y, X, Y), {"whole": "all"}, ValueError, "whole must be"),
        ((X, Y, X, Y), {"time_axis": 3}, ValueError, "time_axis must be 1 or 2"),
        ((X[:, None], Y, X[:, None], Y), {}, ValueError, "say which by time_axis=1 or time_axis=2"),
        ((X[..., None], Y, X[..., None], Y), {"window": 0}, ValueError, "window must be at least 1"),
        ((X, Y, X, Y), {"num_bits": 0}, ValueError, "num_bits must be at least 1"),
        ((X, Y, X, Y), {"width": 1.5}, TypeError, "width must be an integer"),
        ((X, Y, X, Y), {"raw": True, "num_bits": 2}, ValueError, "raw=True"),
        ((X, Y, X, Y), {"encoder": encode.fit_median, "num_bits": 2}, ValueError, "not both"),
        ((X, Y, X, Y), {"encoder": 3}, TypeError, "encoder"),
        ((X, Y, X, Y), {"encoder": lambda x: x}, TypeError, "must return an encoder"),
        ((X, Y, X, Y), {"encoder": encode.Thermometer(np.zeros((3, 1)))}, ValueError, "fitted on 3 features"),
        ((X, Y, X, Y), {"seed": -1}, ValueError, "seed"),
    ],
)
def test_from_arrays_bad_input(arguments, options, error, match):
    with pytest.raises(error, match=match):
        datasets.from_arrays(*arguments, **options)


@pytest.mark.parametrize(
    ("name", "options", "error", "match"),
    [
        ("fashion_mnist", {}, ValueError, "Did you mean 'fashion-mnist'"),
        ("MNIST", {}, ValueError, "Did you mean 'mnist'"),
        ("zzz", {}, ValueError, "The names are random-prototypes, mnist"),
        ("ucr/", {}, ValueError, "names no problem"),
        ("ucr/../x", {}, ValueError, "names no problem"),
        (3, {}, TypeError, "name must be text"),
        ("mnist", {"split": "test"}, ValueError, "'official' or 'paper'"),
        ("digits", {"split": "paper"}, ValueError, "'official'"),
        ("mnist", {"num_train": 5}, ValueError, "num_train belong to 'random-prototypes'"),
        ("mnist", {"fold": 0}, ValueError, "fold is for"),
        ("digits", {"fold": 3}, ValueError, "fold must be from 0 to folds - 1 = 2"),
        ("digits", {"fold": 0, "folds": 1}, ValueError, "folds must be at least 2"),
        ("digits", {"window": 0}, ValueError, "window must be at least 1"),
        ("random-prototypes", {"window": 2}, ValueError, "without order"),
        ("random-prototypes", {"num_classes": 1}, ValueError, "num_classes must be at least 2"),
        ("random-prototypes", {"num_test": 0}, ValueError, "num_test must be at least 1"),
        ("random-prototypes", {"num_inputs": 1.0}, TypeError, "num_inputs must be an integer"),
        ("random-prototypes", {"flip_probability": 1.1}, ValueError, "flip_probability"),
        ("random-prototypes", {"seed": ()}, ValueError, "empty"),
        ("random-prototypes", {"seed": (0, -1)}, ValueError, "seed must be at least 0"),
        ("random-prototypes", {"seed": 2**31}, ValueError, "at most 2,147,483,647"),
        ("random-prototypes", {"seed": 1.5}, TypeError, "seed must be an integer"),
        ("random-prototypes", {"seed": True}, TypeError, "seed must be an integer"),
        ("random-prototypes", {"raw": True, "width": 5}, ValueError, "raw=True"),
    ],
)
def test_load_bad_input(name, options, error, match):
    with pytest.raises(error, match=match):
        datasets.load(name, **options)


def test_dataset_is_a_value():
    data = datasets.load("random-prototypes", num_inputs=8, num_train=4, num_test=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.num_inputs = 3
    assert dataclasses.replace(data, num_inputs=7).num_inputs == 7


# The real files


@real("mnist")
@real("fashion_mnist")
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_images(name):
    data = datasets.load(name)
    assert data.train_x.shape == (60_000, 25) and data.test_x.shape == (10_000, 25) and data.num_classes == 10
    assert data.encoder.thresholds.max() == data.encoder.thresholds.min() == 0
    raw = datasets.load(name, split="paper", raw=True)
    assert raw.train_x.shape == (50_000, 784) and raw.test_x.shape == (10_000, 784)
    np.testing.assert_array_equal(signs(data.train_x[-9:], 784), np.where(raw.test_x[-9:] > 0, 1, -1))
    np.testing.assert_array_equal(raw.test_y, data.train_y[50_000:])


@real("ucr")
@pytest.mark.parametrize("problem", PROBLEMS)
def test_real_series(problem):
    raw = datasets.load(f"ucr/{problem}", raw=True)
    window, num_bits = ((1, 1), (8, 20), (70, 5))[PROBLEMS.index(problem) % 3]
    data = datasets.load(f"ucr/{problem}", window=window, num_bits=num_bits, fold=1)
    assert data.train_x.shape[1] == window and 0 < data.num_inputs <= num_bits * raw.num_inputs
    assert len(data.train_y) + len(data.test_y) == len(raw.train_y) + len(raw.test_y)
    bits.check_padding(data.test_x, data.num_inputs, "test")
    assert set(np.unique(data.train_y)) == set(range(raw.num_classes))
    data = datasets.load(f"ucr/{problem}", window=4, num_bits=5)
    cut = datasets.load(f"ucr/{problem}", window=4, raw=True)
    levels = reference.thermometer_thresholds(cut.train_x, 5)
    np.testing.assert_array_equal(signs(data.test_x, data.num_inputs), reference.thermometer(cut.test_x, levels))


def test_series_are_read_whole(tmp_path):
    """All steps as one sample, with thresholds for every step."""
    series = np.random.default_rng(0).normal(size=(30, 7, 2)) + np.arange(7)[None, :, None]
    y = np.arange(30) % 2
    np.savez(tmp_path / "s.npz", train_x=series[:20], train_y=y[:20], test_x=series[20:], test_y=y[20:])
    whole = datasets.load(str(tmp_path / "s.npz"), whole=True, num_bits=3)
    assert (whole.num_inputs, whole.num_steps, whole.train_x.ndim) == (42, 7, 2)
    flat = series.reshape(30, -1)
    same = datasets.from_arrays(flat[:20], y[:20], flat[20:], y[20:], num_bits=3)
    np.testing.assert_array_equal(whole.test_x, same.test_x)
    assert datasets.load(str(tmp_path / "s.npz")).num_steps == 7
    loaded = datasets.load(str(tmp_path / "s.npz"), whole="rocket")
    arrays = datasets.from_arrays(series[:20], y[:20], series[20:], y[20:], whole="rocket")
    np.testing.assert_array_equal(loaded.test_x, arrays.test_x)
    assert (arrays.num_steps, arrays.image_shape) == (7, None)
    both = datasets.load(str(tmp_path / "s.npz"), whole="both")
    tied = datasets.load(str(tmp_path / "s.npz"), whole="tied")
    assert both.image_shape == (7,) and (tied.extra, both.extra) == (0, 336)
    assert both.num_inputs == tied.num_inputs + both.extra
    np.testing.assert_array_equal(
        signs(both.test_x, both.num_inputs)[:, : tied.num_inputs], signs(tied.test_x, tied.num_inputs)
    )
    assert datasets.from_arrays(series[:20] > 3, y[:20], series[20:] > 3, y[20:], whole="both").extra == 336
    bools = datasets.from_arrays(series[:20] > 3, y[:20], series[20:] > 3, y[20:], whole=True)
    assert bools.train_x.ndim == 2 and bools.num_inputs <= 14


def test_ink_on_paper_has_one_bit_a_pixel_and_grey_images_have_edges():
    rng = np.random.default_rng(0)
    edges = functools.partial(encode.fit_edges, image_shape=(5, 6))
    ink = np.where(rng.random((50, 30)) < 0.8, 0, 255).astype(np.uint8)
    assert images.fit_drawn(ink, edges).num_bits == 30
    assert images.fit_drawn(rng.integers(0, 256, (50, 30)).astype(np.uint8), edges).num_bits == 12 * 30
