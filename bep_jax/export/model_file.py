"""Trained networks as files: `save`, `load`. One bit a weight, in a safetensors file that runs no code.

The file holds one tensor a hidden matrix, ``hidden.0`` and so on, the ``classifier``, and those of the encoder,
``encoder.0`` and so on. ±1 tensors are bits, uint8 ``[ceil(N·K / 8)]``: element i of the flattened matrix is bit
i mod 8 of byte i div 8, set for +1, rows not padded. Several networks of one model have a leading axis [S]. The
metadata are JSON under the key ``bep_jax``: format version, SHA-256 of everything else, architecture, encoder, classes.

Axis letters: N neurons, K inputs, C classes, W = ceil(K / 32) words, S seeds.
"""

import dataclasses
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from bep_jax.data import encode, files
from bep_jax.data.columns import Column, Columns
from bep_jax.data.encode import Encoder
from bep_jax.data.words import unpack_host
from bep_jax.export import encoder_file
from bep_jax.export.encoder_file import count, from_octets, num_features, to_octets
from bep_jax.files import atomic, tensor_file
from bep_jax.files.tensor_file import Format
from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count, check_flag, check_path, is_several, shown
from bep_jax.network.layers.layer import Layer
from bep_jax.network.layers.registry import KINDS, name_of
from bep_jax.network.model import Model, Params, check_params

# Version 1 had no window, 2 no patterns and gated updates, 3 no columns, as many bits for every feature, no
# convolutions and no choice of who learns, 4 nothing that goes past convolutions. A temperature may be missing, and
# readers that know none pass over it.
_FORMAT = Format("bep_jax", 5, "model from bep.save")
_UNREADABLE = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)


class Saved(NamedTuple):
    """What `load` returns."""

    model: Model
    params: Params  # int16 [N, K] per matrix, uint32 [C, W]; of several networks all with a leading [S]
    encoder: Encoder | tuple[Encoder, ...] | None = None  # a tuple: one for each network
    classes: tuple[str, ...] | None = None  # C names
    window: int | None = None  # T, the time steps of a sample in training; None where the file does not say
    columns: Columns | None = None  # of the table that it was trained on
    temperature: tuple[float, ...] | None = None  # of each network's scores, for probabilities


def save(
    path: str | os.PathLike,
    model: Model,
    params: Params,
    encoder: Encoder | Sequence[Encoder] | None = None,
    classes: Sequence[str] | None = None,
    hidden: bool = False,
    window: int | None = None,
    columns: Columns | None = None,
    temperature: float | Sequence[float] | None = None,
) -> None:
    """Writes a network, or several of one model, to a file: complete, or what was there stays.

    Args:
      path: the file, by custom ``*.safetensors``; its folder must exist.
      model: a `Model`.
      params: its `Params`; as `fit` returns them, with a leading axis [S] on every array, for S networks.
      encoder: made of what `bep_jax.encode` has; its ``num_bits`` are the model's inputs. For S networks also a
        sequence of S encoders.
      classes: C names.
      hidden: keep the int16 hidden weights, for further training; otherwise their signs, one bit each.
      window: of series: T, the time steps of a sample in training, to which `bep_jax.export.predict` cuts new ones.
      columns: ``Dataset.columns`` of a table, by whose names ``predict`` takes the columns of new ones.
      temperature: of the scores, from `bep_jax.fit_temperature`, for probabilities; one for each network.

    Raises:
      TypeError: an argument of the wrong kind, such as an encoder of your own.
      ValueError: params, encoder, classes, window or temperature do not fit the model.
      OSError: the file cannot be written.

    Example:
      >>> import tempfile
      >>> import jax
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     bep.save(f"{folder}/net.safetensors", model, model.init(jax.random.key(0)), classes=("no", "yes"))
      ...     bep.load(f"{folder}/net.safetensors").classes
      ('no', 'yes')
    """
    path = check_path(path, "path", "save")
    saved = Saved(model, params, encoder, classes, window, columns, temperature)  # type: ignore[arg-type]
    content = to_bytes(saved, hidden)
    if path.is_dir():
        raise IsADirectoryError(f"save: wanted a file, got the folder {path}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {path.parent} for {path.name}.")
    atomic.write_output(path, content)


def load(path: str | os.PathLike) -> Saved:
    """Reads what `save` wrote.

    Nothing in a file is ever run. A file that is damaged in any place is refused, not half read.

    Args:
      path: the file.

    Returns:
      A `Saved`. Unless it was saved with ``hidden=True``, hidden weights are ±1: for inference. An encoder gives the
      words that it gave when it was saved, bit for bit.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no model of this library, is damaged, or is of a newer format.

    Example:
      >>> import tempfile
      >>> import jax
      >>> import bep_jax as bep
      >>> model = bep.rnn(num_inputs=3, state_width=6, output_width=4, num_classes=2)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     bep.save(f"{folder}/net.safetensors", model, model.init(jax.random.key(0)))
      ...     saved = bep.load(f"{folder}/net.safetensors")
      >>> saved.model == model, saved.params.hidden[0].dtype
      (True, dtype('int16'))
    """
    path = check_path(path, "path", "load")
    content = files.read(path, "load")
    tensors, about = tensor_file.loads(_FORMAT, content, path, "load")
    try:
        return _decode(tensors, about)
    except _UNREADABLE as error:
        raise ValueError(f"load: {path} is whole, but holds no network ({type(error).__name__}: {error}).") from error


def to_bytes(saved: Saved, hidden: bool = False) -> bytes:
    """The content of the file that `save` writes; equal arguments give equal bytes.

    Args:
      saved: what the file is to hold; its ``encoder`` may be a list.
      hidden: as for `save`.

    Raises: as `save`.

    Example:
      >>> import jax
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=784, widths=(525,), num_classes=10)
      >>> len(to_bytes(Saved(model, model.init(jax.random.key(0))))) - (525 * 784 + 10 * 525) // 8 < 4096
      True
    """
    model, params = saved.model, saved.params
    num_networks = _check_params(model, params)
    hidden = check_flag(hidden, "hidden", "save")
    lead = () if num_networks is None else (num_networks,)
    tensors: dict[str, np.ndarray] = {}
    for i, h in enumerate(map(np.asarray, params.hidden)):
        tensors[f"hidden.{i}"] = h if hidden else to_octets(h >= 0, lead)
    tensors["classifier"] = to_octets(unpack_host(np.asarray(params.classifier), model.num_outputs), lead)
    about = {
        "layers": [_describe_layer(layer) for layer in model.layers],
        "num_classes": model.num_classes,
        "networks": num_networks,
        "hidden": hidden,
        "encoder": encoder_file.describe(model, saved.encoder, num_networks, tensors),
        "classes": _check_classes(model, saved.classes),
        "window": None if saved.window is None else check_count(saved.window, "window", "save"),
        "columns": _describe_columns(saved.columns, saved.encoder),
        "temperature": _check_temperature(saved.temperature, num_networks or 1),
    }
    try:
        _decode(tensors, json.loads(json.dumps(about)))
    except _UNREADABLE as error:
        raise ValueError(f"save: nothing could read this again: {error}") from error
    return tensor_file.dumps(_FORMAT, tensors, about)


def _check_params(model: Model, params: Params) -> int | None:
    """S, or None without a seed axis."""
    if not isinstance(model, Model):
        raise TypeError(f"save: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")
    check_params(params, "save")
    if len(params.hidden) != len(model.matrix_shapes):
        raise ValueError(f"save: the model has {len(model.matrix_shapes)} matrices, params {len(params.hidden)}.")
    stacked = params.classifier.ndim == 3
    lead = tuple(params.classifier.shape[:1]) if stacked else ()
    if 0 in lead:
        raise ValueError("save: params hold no network, their leading axis is 0.")
    wanted = [(lead + shape, "int16") for shape in model.matrix_shapes]
    wanted.append(((*lead, model.num_classes, bits.num_words(model.num_outputs)), "uint32"))
    for (shape, dtype), a in zip(wanted, (*params.hidden, params.classifier), strict=True):
        if tuple(a.shape) != shape:
            raise ValueError(f"save: params do not fit the model: wanted shape {shape}, got {tuple(a.shape)}.")
        if a.dtype != dtype:
            raise TypeError(f"save: params of shape {shape} must be {dtype}, got {a.dtype}.")
    bits.check_padding(params.classifier, model.num_outputs, "save: params.classifier")
    return lead[0] if stacked else None


def _check_classes(model: Model, classes: Sequence[str] | None) -> list[str] | None:
    if classes is None:
        return None
    if not is_several(classes) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"save: classes must be a sequence of text, got {shown(classes)}.")
    if len(classes) != model.num_classes:
        raise ValueError(f"save: the model has {model.num_classes} classes, got {len(classes)} names.")
    return [str(name) for name in classes]


def _check_temperature(temperature: Any, num_networks: int) -> list[float] | None:
    if temperature is None:
        return None
    values = np.atleast_1d(np.asarray(temperature))
    if values.shape != (num_networks,) or not np.issubdtype(values.dtype, np.number):
        raise ValueError(f"save: wanted {num_networks} temperatures, one for each network, got {temperature!r}.")
    if not all(0 < value < math.inf for value in values):
        raise ValueError(f"save: a temperature must be positive and finite, got {temperature!r}.")
    return [float(value) for value in values]


def _describe_columns(columns: Columns | None, encoder: Encoder | Sequence[Encoder] | None) -> dict[str, Any] | None:
    if columns is None:
        return None
    if not isinstance(columns, Columns):
        raise TypeError(f"save: columns must be those of a Dataset, got {type(columns).__name__}.")
    for one in encoder if isinstance(encoder, Sequence) else (encoder,):
        features = num_features(one)
        if features != len(columns.names):
            raise ValueError(f"save: the columns make {len(columns.names)} features, the encoder takes {features}.")
    return {"label": columns.label, "features": [list(column) for column in columns.features]}


def _decode_columns(about: Mapping[str, Any] | None) -> Columns | None:
    if about is None:
        return None
    label, features = about["label"], about["features"]
    texts = [label or "", *(name for name, _ in features), *(text for _, values in features for text in values or ())]
    if not all(isinstance(text, str) for text in texts) or not features:
        raise ValueError("names of columns must be text")
    return Columns(tuple(Column(name, None if values is None else tuple(values)) for name, values in features), label)


def _describe_layer(layer: Any) -> dict[str, Any]:
    name = name_of(layer)
    if name is None:
        raise TypeError(
            f"save: a layer of type {type(layer).__name__} has no place in the file format; give it one by "
            "bep_jax.register_layer."
        )
    return {"type": name, **dataclasses.asdict(layer)}


def _decode(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Saved:
    layers = tuple(_decode_layer(layer) for layer in about["layers"])
    for before, after in itertools.pairwise(layers):
        if after.over_time or after.num_inputs != before.num_outputs:
            raise ValueError(f"{after} does not follow {before}")
    model = Model(layers, count(about["num_classes"], least=2))
    lead = () if about["networks"] is None else (count(about["networks"]),)
    hidden = []
    for i, shape in enumerate(model.matrix_shapes):
        tensor = tensors[f"hidden.{i}"]
        if not about["hidden"]:
            tensor = np.where(from_octets(tensor, lead, shape), np.int16(1), np.int16(-1))
        if tensor.shape != lead + shape or tensor.dtype != np.int16:
            raise ValueError(f"hidden.{i} is {tensor.dtype} {tensor.shape}, wanted int16 {lead + shape}")
        hidden.append(jnp.asarray(tensor))
    classifier = encode.pack_host(from_octets(tensors["classifier"], lead, (model.num_classes, model.num_outputs)))
    classes = None if about["classes"] is None else tuple(str(name) for name in about["classes"])
    if classes is not None and len(classes) != model.num_classes:
        raise ValueError(f"{len(classes)} names for {model.num_classes} classes")
    description = about["encoder"]
    encoder: Encoder | tuple[Encoder, ...] | None = None
    if isinstance(description, list):
        encoder = tuple(encoder_file.decode(one, tensors) for one in description)
        if (len(encoder),) != lead:
            raise ValueError(f"{len(encoder)} encoders for networks {lead}")
    elif description is not None:
        encoder = encoder_file.decode(description, tensors)
    for one in encoder if isinstance(encoder, tuple) else (encoder,):
        if one is not None and one.num_bits != model.num_inputs:
            raise ValueError(f"an encoder of {one.num_bits} bits for a model of {model.num_inputs}")
    window = about.get("window")  # none in version 1
    if window is not None:
        count(window)
    columns = _decode_columns(about.get("columns"))  # none before version 4
    if columns is not None:
        _describe_columns(columns, encoder)  # for its checks
    temperature = _check_temperature(about.get("temperature"), math.prod(lead))
    return Saved(
        model,
        Params(tuple(hidden), jnp.asarray(classifier)),
        encoder,
        classes,
        window,
        columns,
        None if temperature is None else tuple(temperature),
    )


def _decode_layer(layer: Mapping[str, Any]) -> Layer:
    if layer["type"] not in KINDS:
        raise ValueError(f"a layer of unknown type {layer['type']!r}; add your own by bep_jax.register_layer")
    kind: Any = KINDS[layer["type"]]
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    values = {name: value for name, value in layer.items() if name != "type"}
    return kind(**{name: _decode_field(value, defaults[name]) for name, value in values.items()})


def _decode_field(value: Any, default: Any) -> Any:
    """A layer's field, checked: a bool, text where the default is, a tuple of numbers, a count, or the default."""
    if isinstance(default, bool | str):
        if type(value) is not type(default):
            raise ValueError(f"wanted a {type(default).__name__}, got {value!r}")
        return value
    if isinstance(value, list):
        return tuple(count(one, least=0) for one in value)
    if isinstance(default, int):
        return count(value, least=default)
    return value if value is default else count(value)
