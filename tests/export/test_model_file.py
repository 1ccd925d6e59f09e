"""Models as files: every bit comes back, at one bit a weight, and a damaged file is refused."""

import dataclasses
import errno
import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from drawn import assert_same_encoder, draw, edges, expansion, rocket, thermometer
from hypothesis import given
from hypothesis import strategies as st

import bep_jax as bep
from bep_jax import encode
from bep_jax.encode import Composition, Thermometer, Union
from bep_jax.export import encoder_file, model_file
from bep_jax.files import tensor_file
from bep_jax.network.model import Dense, Model, Params, Recurrent

MLP = bep.mlp(num_inputs=33, widths=(5, 63), num_classes=3)
RNN = bep.rnn(num_inputs=7, state_width=31, output_width=33, num_classes=2, horizon=4, patterns=5, gated_update=True)


CONV = bep.conv(image_shape=(5, 4), channels=2, filters=((3, (2, 1), 1, (1, 0)),), widths=(5,), num_classes=3)


@pytest.mark.parametrize("model", [MLP, RNN, CONV, bep.mlp(num_inputs=1, widths=(1,), num_classes=2)])
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
    again = model_file.to_bytes(saved, hidden=hidden)
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


@pytest.mark.parametrize("encoder", [rocket(20, 3, 2), Composition((rocket(20, 3), expansion(168, 336)))])
def test_counts_of_kernels_come_back(encoder, tmp_path):
    model = bep.mlp(num_inputs=336, widths=(5,), num_classes=3)
    bep.save(tmp_path / "net", model, draw(model), encoder=encoder)
    assert_same_encoder(bep.load(tmp_path / "net").encoder, encoder)


def test_counts_of_kernels_of_older_files_come_back():
    """Before there were sums a group was a dilation and a channel, and biases were int8."""
    encoder = rocket(20, 3)
    tensors = {}
    about = encoder_file.describe(bep.mlp(num_inputs=168, widths=(5,), num_classes=3), encoder, None, tensors)
    (groups,) = (name for name in tensors if name.endswith(".groups"))
    (biases,) = (name for name in tensors if name.endswith(".biases"))
    tensors |= {groups: encoder.groups[:, :2], biases: encoder.biases.astype(np.int8)}
    kernels = np.array([[2, 2, 0], [1, 0, 0]], np.int32)
    assert_same_encoder(encoder_file.decode(about, tensors), dataclasses.replace(encoder, groups=kernels))


def test_encoders_side_by_side_come_back(tmp_path):
    encoder = Union((edges((20,)), dataclasses.replace(rocket(20, 1), levels=thermometer(1, 15, np.uint8))))
    model = bep.conv(
        image_shape=(20,),
        channels=edges((20,)).pixel_bits,
        widths=(5,),
        num_classes=3,
        extra=encode.extra_bits(encoder),
    )
    bep.save(tmp_path / "net", model, draw(model), encoder=encoder)
    saved = bep.load(tmp_path / "net")
    assert saved.model == model and saved.model.layers[0].extra == 168
    assert_same_encoder(saved.encoder, encoder)


@pytest.mark.parametrize("shape", [(3, 5), (15,)])
def test_edges_come_back(shape, tmp_path):
    encoder = edges(shape)
    model = bep.mlp(num_inputs=encoder.num_bits, widths=(5,), num_classes=3)
    bep.save(tmp_path / "net", model, draw(model), encoder=encoder)
    assert_same_encoder(bep.load(tmp_path / "net").encoder, encoder)


def test_the_window_comes_back(tmp_path):
    bep.save(tmp_path / "net", RNN, draw(RNN), window=np.int64(9))
    assert bep.load(tmp_path / "net").window == 9
    bep.save(tmp_path / "net", RNN, draw(RNN))
    assert bep.load(tmp_path / "net").window is None


def test_temperatures_come_back(tmp_path):
    bep.save(tmp_path / "net", MLP, draw(MLP, (2,)), temperature=np.array([1.5, 0.25]))
    assert bep.load(tmp_path / "net").temperature == (1.5, 0.25)
    bep.save(tmp_path / "net", MLP, draw(MLP), temperature=2)
    assert bep.load(tmp_path / "net").temperature == (2.0,)


def test_a_repeated_encoder_is_kept_once(tmp_path):
    one = thermometer(11, 3)
    bep.save(tmp_path / "net", MLP, draw(MLP, (2,)), encoder=(one, one))
    assert_same_encoder(bep.load(tmp_path / "net").encoder, one)


@pytest.mark.parametrize("seeds", [None, 5])
def test_size(seeds):
    model = bep.mlp(num_inputs=784, widths=(525, 525), num_classes=10)
    lead, networks = ((), 1) if seeds is None else ((seeds,), seeds)
    encoder = encode.compose(thermometer(28, 1), expansion(28, 784))
    names = tuple(f"class {c}" for c in range(10))
    size = len(model_file.to_bytes(bep.Saved(model, draw(model, lead), encoder, names)))
    weights = sum(n * k for n, k in model.matrix_shapes) * networks
    assert size <= (1.05 * weights + networks * 10 * 525 + 28 * 784) / 8 + 28 * 8 + 4096


def test_equal_networks_have_equal_bytes():
    saved = bep.Saved(MLP, draw(MLP), thermometer(11, 3), ("a", "b", "c"), temperature=(0.5,))
    assert len({model_file.to_bytes(saved) for _ in range(5)}) == 1


@pytest.fixture(scope="module")
def content():
    model = bep.mlp(num_inputs=9, widths=(4,), num_classes=2)
    return model_file.to_bytes(bep.Saved(model, draw(model), thermometer(3, 3), ("no", "yes"), temperature=(2.5,)))


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


def forged(content, version=None, **changes):
    """The file with other metadata and a checksum that fits."""
    tensors, metadata = safetensors.numpy.load(content), about(content)
    metadata["about"] |= changes
    metadata["version"] = version or metadata["version"]
    metadata["sha256"] = tensor_file.digest(tensors, metadata["about"], metadata["version"])
    return safetensors.numpy.save(tensors, {"bep_jax": json.dumps(metadata)})


def test_a_newer_format_is_named(content, tmp_path):
    metadata = about(content) | {"version": 6}
    (tmp_path / "net").write_bytes(
        safetensors.numpy.save(safetensors.numpy.load(content), {"bep_jax": json.dumps(metadata)})
    )
    with pytest.raises(ValueError, match="format version 6, this bep_jax reads 1 to 5; a newer bep_jax reads it"):
        bep.load(tmp_path / "net")


def test_a_file_of_version_1_still_loads(content, tmp_path):
    metadata, tensors = about(content), safetensors.numpy.load(content)
    del metadata["about"]["window"]
    metadata |= {"version": 1, "sha256": tensor_file.digest(tensors, metadata["about"], 1)}
    (tmp_path / "net").write_bytes(safetensors.numpy.save(tensors, {"bep_jax": json.dumps(metadata)}))
    saved = bep.load(tmp_path / "net")
    assert saved.classes == ("no", "yes") and saved.window is None


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
        {"window": 0},
        {"temperature": [-1.0]},
        {"temperature": [1.0, 1.0]},
        {"temperature": "warm"},
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
    "changes", [{"patch": [0, 1]}, {"patch": [9, 9]}, {"patch": "ab"}, {"padding": [-1, 0]}, {"learns": "best"}]
)
def test_a_convolution_of_nonsense_is_refused(changes, tmp_path):
    content = model_file.to_bytes(bep.Saved(CONV, draw(CONV)))
    layer, *rest = about(content)["about"]["layers"]
    (tmp_path / "net").write_bytes(forged(content, layers=[layer | changes, *rest]))
    with pytest.raises(ValueError, match="is whole, but holds no network"):
        bep.load(tmp_path / "net")


@pytest.mark.parametrize("changes", [{"horizon": 0}, {"patterns": 0}, {"gated_update": 1}, {"gated_update": None}])
def test_a_recurrent_layer_of_nonsense_is_refused(changes, tmp_path):
    content = model_file.to_bytes(bep.Saved(RNN, draw(RNN)))
    cell, dense = about(content)["about"]["layers"]
    (tmp_path / "net").write_bytes(forged(content, layers=[cell | changes, dense]))
    with pytest.raises(ValueError, match=r"holds no network \(ValueError: wanted a"):
        bep.load(tmp_path / "net")


def test_a_file_of_version_2_still_loads(tmp_path):
    model = bep.rnn(num_inputs=7, state_width=31, output_width=33, num_classes=2, horizon=4)
    content = model_file.to_bytes(bep.Saved(model, draw(model)))
    cell, dense = about(content)["about"]["layers"]
    del cell["patterns"], cell["gated_update"]
    (tmp_path / "net").write_bytes(forged(content, version=2, layers=[cell, dense]))
    assert bep.load(tmp_path / "net").model == model


def test_a_file_of_version_4_still_loads(tmp_path):
    content = model_file.to_bytes(bep.Saved(CONV, draw(CONV)))
    convolution, dense = about(content)["about"]["layers"]
    del convolution["extra"]
    (tmp_path / "net").write_bytes(forged(content, version=4, layers=[convolution, dense]))
    assert bep.load(tmp_path / "net").model == CONV


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "mlp"}, TypeError, "save: wanted a Model, from bep.mlp or bep.rnn, got str"),
        ({"params": {}}, TypeError, "save: wanted Params, .* got dict"),
        ({"params": draw(RNN)}, ValueError, "the model has 2 matrices, params 3"),
        ({"params": draw(bep.mlp(num_inputs=32, widths=(5, 63), num_classes=3))}, ValueError, "wanted shape"),
        ({"params": draw(MLP)._replace(classifier=draw(MLP, (2,)).classifier)}, ValueError, "wanted shape"),
        ({"params": draw(MLP, (0,))}, ValueError, "hold no network"),
        ({"params": Params(tuple(h.astype(jnp.int32) for h in draw(MLP).hidden), None)}, TypeError, "must be int16"),
        ({"params": draw(MLP)._replace(classifier=jnp.full((3, 2), 2**32 - 1, jnp.uint32))}, ValueError, "padding"),
        ({"classes": ("a", "b")}, ValueError, "save: the model has 3 classes, got 2 names"),
        ({"model": RNN, "params": draw(RNN), "window": 0}, ValueError, "save: window must be at least 1, got 0"),
        ({"classes": "abc"}, TypeError, "sequence of text"),
        ({"temperature": 0.0}, ValueError, "save: a temperature must be positive and finite, got 0.0"),
        ({"temperature": (1.0, 2.0)}, ValueError, "save: wanted 1 temperatures, one for each network"),
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
