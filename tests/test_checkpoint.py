"""Models as files: every bit comes back, at one bit a weight, and a damaged file is refused."""

import errno
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import bep_jax as bep
from bep_jax import checkpoint, cli, encode, predict
from bep_jax.encode import Composition, Expansion, Thermometer
from bep_jax.networks import Dense, Model, Params, Recurrent

MLP = bep.mlp(num_inputs=33, widths=(5, 63), num_classes=3)
RNN = bep.rnn(num_inputs=7, state_width=31, output_width=33, num_classes=2, horizon=4)


def draw(model, lead=(), seed=0):
    """Params of random odd weights; NumPy alone, nothing compiles."""
    random = np.random.default_rng(seed)
    hidden = tuple(
        jnp.asarray(2 * random.integers(-(2**14), 2**14, lead + shape, np.int16) + np.int16(1))
        for shape in model.matrix_shapes
    )
    classifier = encode.pack_host(random.random((*lead, model.num_classes, model.widths[-1])) < 0.5)
    return Params(hidden, jnp.asarray(classifier))


def expansion(num_inputs, width, seed=0):
    return Expansion(encode.pack_host(np.random.default_rng(seed).random((width, num_inputs)) < 0.5), num_inputs)


def thermometer(features, num_bits, dtype=np.float64):
    values = np.sort(np.random.default_rng(0).integers(0, 100, (features, num_bits)), axis=1)
    return Thermometer(values.astype(dtype))


def assert_same_encoder(a, b):
    assert type(a) is type(b)
    if isinstance(a, Composition | tuple):
        parts = (a, b) if isinstance(a, tuple) else (a.encoders, b.encoders)
        for one, other in zip(*parts, strict=True):
            assert_same_encoder(one, other)
    elif isinstance(a, Expansion):
        np.testing.assert_array_equal(a.matrix, b.matrix)
        assert a.num_inputs == b.num_inputs
    elif a is not None:
        np.testing.assert_array_equal(a.thresholds, b.thresholds)
        assert a.thresholds.dtype == b.thresholds.dtype.newbyteorder("=")


@pytest.mark.parametrize("model", [MLP, RNN, bep.mlp(num_inputs=1, widths=(1,), num_classes=2)])
@pytest.mark.parametrize("lead", [(), (1,), (3,)])
@pytest.mark.parametrize("hidden", [False, True])
def test_round_trip(model, lead, hidden, tmp_path):
    params = draw(model, lead)
    path = tmp_path / "net.safetensors"
    bep.save(path, model, params, classes=[f"ü{c}" for c in range(model.num_classes)], hidden=hidden)
    saved = bep.load(str(path))
    assert isinstance(saved, bep.Saved)
    assert saved.model == model
    assert saved.encoder is None
    assert saved.classes == tuple(f"ü{c}" for c in range(model.num_classes))
    np.testing.assert_array_equal(saved.params.classifier, params.classifier)
    assert saved.params.classifier.dtype == jnp.uint32
    for loaded, h in zip(saved.params.hidden, params.hidden, strict=True):
        assert loaded.dtype == jnp.int16
        np.testing.assert_array_equal(loaded, h if hidden else np.where(np.asarray(h) >= 0, 1, -1))
    assert {file.name for file in tmp_path.iterdir()} == {"net.safetensors"}


@given(
    num_inputs=st.integers(1, 70),
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    seeds=st.sampled_from([None, 1, 2]),
    hidden=st.booleans(),
)
def test_round_trip_of_any_shape(tmp_path_factory, num_inputs, widths, seeds, hidden):
    model = Model(tuple(Dense(k, n) for k, n in zip((num_inputs, *widths), widths, strict=False)), 2)
    params = draw(model, () if seeds is None else (seeds,))
    path = tmp_path_factory.mktemp("net") / "net"
    bep.save(path, model, params, hidden=hidden)
    saved = bep.load(path)
    again = checkpoint.to_bytes(saved.model, saved.params, hidden=hidden)
    assert again == path.read_bytes()


def test_a_loaded_network_says_the_same(tmp_path):
    params, x = draw(MLP, seed=3), encode.pack_host(np.random.default_rng(1).random((5, 33)) < 0.5)
    bep.save(tmp_path / "net", MLP, params)
    saved = bep.load(tmp_path / "net")
    np.testing.assert_array_equal(bep.logits(MLP, params, x), bep.logits(saved.model, saved.params, x))


@pytest.mark.parametrize(
    "encoder",
    [
        thermometer(11, 3),
        thermometer(33, 1, np.uint8),
        thermometer(11, 3, np.float16),
        thermometer(11, 3, ">f8"),
        Thermometer(np.full((33, 1), np.inf)),
        expansion(40, 33),
        Composition((thermometer(5, 4), expansion(20, 33))),
        Composition((Composition((thermometer(2, 3), expansion(6, 9))), expansion(9, 33))),
        (expansion(40, 33, seed=1), Composition((thermometer(5, 4), expansion(20, 33)))),
    ],
)
def test_encoders_come_back(encoder, tmp_path):
    bep.save(tmp_path / "net", MLP, draw(MLP, (2,)), encoder=encoder)
    assert_same_encoder(bep.load(tmp_path / "net").encoder, encoder)


def test_a_repeated_encoder_is_kept_once(tmp_path):
    one = thermometer(11, 3)
    bep.save(tmp_path / "net", MLP, draw(MLP, (2,)), encoder=(one, one))
    assert_same_encoder(bep.load(tmp_path / "net").encoder, one)


@pytest.mark.parametrize("seeds", [None, 5])
def test_size(seeds):
    model = bep.mlp(num_inputs=784, widths=(525, 525), num_classes=10)
    lead, networks = ((), 1) if seeds is None else ((seeds,), seeds)
    encoder = encode.compose(thermometer(28, 1), expansion(28, 784))
    size = len(checkpoint.to_bytes(model, draw(model, lead), encoder, classes=[f"class {c}" for c in range(10)]))
    weights = sum(n * k for n, k in model.matrix_shapes) * networks
    assert size <= (1.05 * weights + networks * 10 * 525 + 28 * 784) / 8 + 28 * 8 + 4096


def test_equal_networks_have_equal_bytes():
    args = (MLP, draw(MLP), thermometer(11, 3), ("a", "b", "c"))
    assert len({checkpoint.to_bytes(*args) for _ in range(5)}) == 1


@pytest.fixture(scope="module")
def content():
    model = bep.mlp(num_inputs=9, widths=(4,), num_classes=2)
    return checkpoint.to_bytes(model, draw(model), thermometer(3, 3), ("no", "yes"))


def test_every_truncation_is_refused(content, tmp_path):
    path = tmp_path / "net"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"load: .*net is no safetensors file, or is damaged or truncated"):
            bep.load(path)


def test_every_flipped_bit_is_refused(content, tmp_path):
    path = tmp_path / "net"
    for i in range(len(content)):
        flipped = bytearray(content)
        flipped[i] ^= 1 << i % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"load: .*net"):
            bep.load(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "net"
    safetensors.numpy.save_file({"weight": np.ones(3)}, path)
    with pytest.raises(ValueError, match=r"is a safetensors file, but no model from bep.save"):
        bep.load(path)
    safetensors.numpy.save_file({"weight": np.ones(3)}, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"is a safetensors file, but no model from bep.save"):
        bep.load(path)
    path.write_bytes(b"\x80\x04\x95 a pickle, say, of some length")
    with pytest.raises(ValueError, match="is no safetensors file"):
        bep.load(path)
    with pytest.raises(FileNotFoundError, match=r"load: there is no file .*other"):
        bep.load(tmp_path / "other")
    with pytest.raises(IsADirectoryError, match="load: wanted a file, got the folder"):
        bep.load(tmp_path)


def about(content):
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["bep_jax"])


def forged(content, **changes):
    """The file with other metadata and a checksum that fits."""
    tensors, metadata = safetensors.numpy.load(content), about(content)
    metadata["about"] |= changes
    metadata["sha256"] = checkpoint._digest(tensors, metadata["about"])
    return safetensors.numpy.save(tensors, {"bep_jax": json.dumps(metadata)})


def test_a_newer_format_is_named(content, tmp_path):
    metadata = about(content) | {"version": 2}
    (tmp_path / "net").write_bytes(
        safetensors.numpy.save(safetensors.numpy.load(content), {"bep_jax": json.dumps(metadata)})
    )
    with pytest.raises(ValueError, match="format version 2, this bep_jax reads 1; a newer bep_jax reads it"):
        bep.load(tmp_path / "net")


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": []},
        {"layers": [{"type": "dense", "num_inputs": 9, "width": 10**12}]},
        {"layers": [{"type": "dense", "num_inputs": 9, "width": True}]},
        {"layers": [{"type": "conv", "num_inputs": 9, "width": 4}]},
        {"layers": [{"type": "dense", "num_inputs": 9, "width": 4}, {"type": "dense", "num_inputs": 9, "width": 4}]},
        {"layers": [{"type": "dense", "num_inputs": 9, "width": 4, "code": "x"}]},
        {"num_classes": 1},
        {"networks": 2},
        {"hidden": True},
        {"classes": ["one"]},
        {"encoder": {"type": "thermometer", "tensor": "hidden.0"}},
        {"encoder": {"type": "pickle", "tensor": "encoder.0"}},
        {"encoder": [{"type": "thermometer", "tensor": "encoder.0"}]},
        {"encoder": "encoder.0"},
    ],
)
def test_a_whole_file_of_nonsense_is_refused(content, changes, tmp_path):
    (tmp_path / "net").write_bytes(forged(content))
    bep.load(tmp_path / "net")
    (tmp_path / "net").write_bytes(forged(content, **changes))
    with pytest.raises(ValueError, match=r"load: .*is whole, but holds no network"):
        bep.load(tmp_path / "net")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "mlp"}, TypeError, "save: wanted a Model, from bep.mlp or bep.rnn, got str"),
        ({"params": {}}, TypeError, "save: wanted Params, got dict"),
        ({"params": draw(RNN)}, ValueError, "the model has 2 matrices, params 3"),
        ({"params": draw(bep.mlp(num_inputs=32, widths=(5, 63), num_classes=3))}, ValueError, "wanted shape"),
        ({"params": draw(MLP)._replace(classifier=draw(MLP, (2,)).classifier)}, ValueError, "wanted shape"),
        ({"params": draw(MLP, (0,))}, ValueError, "hold no network"),
        ({"params": Params(tuple(h.astype(jnp.int32) for h in draw(MLP).hidden), None)}, TypeError, "must be int16"),
        ({"params": draw(MLP)._replace(classifier=jnp.full((3, 2), 2**32 - 1, jnp.uint32))}, ValueError, "padding"),
        ({"classes": ("a", "b")}, ValueError, "save: the model has 3 classes, got 2 names"),
        ({"classes": "abc"}, TypeError, "sequence of text"),
        ({"classes": (0, 1, 2)}, TypeError, "sequence of text"),
        ({"encoder": thermometer(11, 2)}, ValueError, "the model takes 33 bits, the encoder gives 22"),
        ({"encoder": (thermometer(11, 3),) * 2}, ValueError, "got 2 encoders for one network"),
        ({"encoder": lambda x: x}, TypeError, "wanted an encoder from bep_jax.encode, got function"),
        ({"encoder": Thermometer(np.ones((33, 1), np.longdouble))}, TypeError, "use float64"),
    ],
)
def test_a_mistake_names_itself_and_writes_nothing(change, error, message, tmp_path):
    path = tmp_path / "net"
    path.write_bytes(b"mine")
    arguments = {"model": MLP, "params": draw(MLP)} | change
    if arguments["params"] and getattr(arguments["params"], "classifier", 0) is None:
        arguments["params"] = arguments["params"]._replace(classifier=draw(MLP).classifier)
    with pytest.raises(error, match=message):
        bep.save(path, **arguments)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"net": b"mine"}


def test_a_layer_of_ones_own_is_refused(tmp_path):
    class Own(Dense):
        pass

    model = Model((Own(33, 5), Recurrent(5, 63)), 3)
    with pytest.raises(TypeError, match="a layer of type Own"):
        bep.save(tmp_path / "net", model, draw(model))


def test_a_place_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"save: there is no folder .*none for net"):
        bep.save(tmp_path / "none" / "net", MLP, draw(MLP))
    with pytest.raises(IsADirectoryError, match="save: wanted a file"):
        bep.save(tmp_path, MLP, draw(MLP))


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    bep.save(tmp_path / "net", MLP, draw(MLP))
    before = (tmp_path / "net").read_bytes()

    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        bep.save(tmp_path / "net", MLP, draw(MLP, seed=1))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"net": before}


# The commands.


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Three networks on twelve features, and samples; file names and all."""
    folder = tmp_path_factory.mktemp("ensemble")
    model = bep.mlp(num_inputs=24, widths=(9,), num_classes=3)
    encoder, params = thermometer(12, 2), draw(model, (3,))
    bep.save(folder / "net", model, params, encoder, ("red", "green", "blue"))
    x = np.random.default_rng(5).integers(0, 100, (300, 3, 4)).astype(np.uint8)  # more than a batch
    np.save(folder / "x.npy", x)
    magic = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in x.shape)
    (folder / "x-idx3-ubyte").write_bytes(magic + x.tobytes())
    words = encoder(x.reshape(300, 12))
    scores = [np.asarray(bep.logits(model, jax.tree.map(lambda a, i=i: a[i], params), words)) for i in range(3)]
    return folder, np.stack(scores)


def names(scores):
    return [("red", "green", "blue")[i] for i in scores.argmax(axis=1)]


@pytest.mark.parametrize("file", ["x.npy", "x-idx3-ubyte"])
def test_predict(file, ensemble, tmp_path, capsys):
    folder, scores = ensemble
    args = ["predict", "--model", str(folder / "net"), "--input", str(folder / file)]
    assert cli.main(args) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == names(scores[0])
    assert "network 0 of 3; --ensemble" in err
    assert cli.main([*args, "--ensemble"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == names(scores.sum(axis=0))
    assert err == ""
    assert cli.main([*args, "--network", "2", "--output", str(tmp_path / "y.txt")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "y.txt").read_text().splitlines() == names(scores[2])
    assert not (names(scores[0]) == names(scores[2]) == names(scores.sum(axis=0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--model": "none"}, "load: there is no file"),
        ({"--model": "x.npy"}, "is no safetensors file"),
        ({"--input": "none.npy"}, "predict: there is no file"),
        ({"--input": "net"}, "is not an idx file"),
        ({"--input": "bad.npy"}, "is no .npy file of numbers"),
        ({"--input": "flat.npy"}, "must hold samples"),
        ({"--input": "empty.npy"}, "holds no samples"),
        ({"--input": "narrow.npy"}, "fitted on 12 features"),
        ({"--input": "x.ts"}, "the model is not recurrent"),
        ({"--network": "3"}, "there is no network 3; the file holds 3"),
        ({"--network": "1", "--ensemble": None}, "not both"),
        ({"--window": "2"}, "--window is for recurrent networks"),
        ({"--output": "none/y.txt"}, "--output wants a file in a folder that exists"),
    ],
)
def test_a_mistake_is_one_line(options, message, ensemble, monkeypatch, capsys):
    folder, _ = ensemble
    monkeypatch.chdir(folder)
    (folder / "bad.npy").write_bytes(b"\x80\x04 no array")
    (folder / "x.ts").write_text("@data\n")
    for name, shape in (("flat", (12,)), ("empty", (0, 12)), ("narrow", (2, 11))):
        np.save(folder / f"{name}.npy", np.ones(shape))
    options = {"--model": "net", "--input": "x.npy"} | options
    args = [text for name, value in options.items() for text in (name, value) if text is not None]
    assert cli.main(["predict", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_objects_in_an_array_are_not_loaded(ensemble, capsys):
    folder, _ = ensemble
    np.save(folder / "objects.npy", np.array([[{}]]), allow_pickle=True)
    assert cli.main(["predict", "--model", str(folder / "net"), "--input", str(folder / "objects.npy")]) == 2
    assert "is no .npy file of numbers" in capsys.readouterr().err


def test_bits_go_in_as_they_come():
    model = bep.mlp(num_inputs=33, widths=(4,), num_classes=2)
    bools = np.random.default_rng(2).random((6, 33)) < 0.5
    for encoder in (None, expansion(33, 33)):
        params = draw(model, (2,))
        saved = bep.Saved(model, params, encoder and (encoder, expansion(33, 33, seed=1)), None)
        wanted = predict.scores(saved, bools)
        np.testing.assert_array_equal(predict.scores(saved, np.where(bools, 1, -1)), wanted)
        np.testing.assert_array_equal(predict.scores(saved, encode.pack_host(bools)), wanted)
        np.testing.assert_array_equal(predict.scores(saved, bools, 0) + predict.scores(saved, bools, 1), wanted)
    for wrong in (np.ones((6, 33)), np.zeros((6, 33), int), bools[:, :32], np.full((6, 2), 2**32 - 1, np.uint32)):
        with pytest.raises(ValueError, match="predict"):
            predict.scores(saved._replace(encoder=None), wrong)


def test_recurrent_inputs(tmp_path):
    pytest.importorskip("aeon", reason=".ts files are read by aeon")
    model = bep.rnn(num_inputs=8, state_width=6, output_width=5, num_classes=2)
    saved = bep.Saved(model, draw(model), thermometer(2, 4), ("up", "down"))
    lines = ["@problemName X", "@timestamps false", "@univariate false", "@dimension 2", "@equalLength false"]
    lines += ["@classLabel true up down", "@data", "1,20,3,40,5:9,80,7,60,5:up", "10,2,30,4:5,60,7,80:down"]
    (tmp_path / "x.ts").write_text("\n".join(lines) + "\n")
    whole = predict.read_samples(tmp_path / "x.ts", saved)
    assert whole.shape == (2, 5, 2)
    assert np.isnan(whole[1, 0]).all()
    last = predict.read_samples(tmp_path / "x.ts", saved, window=3)
    np.testing.assert_array_equal(last, whole[:, 2:])
    np.save(tmp_path / "x.npy", whole)
    np.testing.assert_array_equal(predict.read_samples(tmp_path / "x.npy", saved, window=3), last)
    words = saved.encoder(last)
    np.testing.assert_array_equal(predict.scores(saved, last), bep.logits(model, saved.params, words))
    # Images: a time step is as many pixels as the encoder has features.
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    (tmp_path / "x.idx").write_bytes(bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4)) + images.tobytes())
    np.testing.assert_array_equal(predict.read_samples(tmp_path / "x.idx", saved), images.reshape(2, 8, 2))


def test_train_writes_a_model_that_predicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.Train, "_picture", lambda *args: None)  # plots are not the matter here
    data = bep.datasets.load("random-prototypes", num_train=60, num_test=40, num_inputs=33, width=35, seed=(0, 1))
    monkeypatch.setattr("bep_jax.flags.datasets.load", lambda *args, **options: data)
    args = ["train", "--widths", "15", "--epochs", "1", "--seeds", "2", "--name", "run", "--no-progress"]
    assert cli.main(args) == 0
    result = json.loads((tmp_path / "runs" / "run" / "result.json").read_text())
    path = tmp_path / "runs" / "run" / "model.safetensors"
    saved = bep.load(path)
    assert saved.classes == data.classes
    assert_same_encoder(saved.encoder, data.encoder)
    for i in range(2):
        found = np.argmax(bep.logits(saved.model, jax.tree.map(lambda a, i=i: a[i], saved.params), data.test_x[i]), 1)
        assert np.mean(found == data.test_y[i]) == result["test_accuracy"][i]
    capsys.readouterr()
    assert cli.main(["summary", "--model", str(path)]) == 0
    out = capsys.readouterr().out
    assert str(bep.summary(saved.model)) in out
    assert f"{path.stat().st_size:,} bytes, 2 networks" in out
    assert "encoder: one a network, expansion to 35 bits" in out
    assert "classes: 0, 1, 2" in out
