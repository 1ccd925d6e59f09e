"""Encoders in a model file, and ±1 as its bytes.

What a file says of an encoder is JSON; its arrays are tensors ``encoder.0`` and so on.

Axis letters: N neurons, K inputs, W = ceil(K / 32) words, S seeds.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bep_jax.data import encode
from bep_jax.data.encode import Composition, Edges, Encoder, Expansion, Rocket, Thermometer, Union, first_encoder
from bep_jax.data.words import unpack_host
from bep_jax.network.model import Model

_THRESHOLD_BYTES = 8  # of the widest number that a safetensors file can hold


def num_features(encoder: Encoder | None) -> int | None:
    """F, the features that an encoder takes; None where it takes bits."""
    return getattr(first_encoder(encoder), "num_features", None)


def describe(
    model: Model, encoder: Encoder | Sequence[Encoder] | None, num_networks: int | None, tensors: dict[str, np.ndarray]
) -> Any:
    """One description, a list with one for each network, or None; puts arrays into ``tensors``."""
    if encoder is None:
        return None
    if not isinstance(encoder, Sequence):
        return _describe(_check(model, encoder), tensors)
    encoders = [_check(model, one) for one in encoder]
    if len(encoders) != num_networks:
        raise ValueError(
            f"save: got {len(encoders)} encoders for {num_networks or 'one network, without a seed axis'}."
        )
    if all(one is encoders[0] for one in encoders):
        return _describe(encoders[0], tensors)
    return [_describe(one, tensors) for one in encoders]


def decode(about: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Encoder:
    """The encoder that `describe` described."""
    match about["type"]:
        case "thermometer":
            counts = tensors[about["counts"]] if "counts" in about else None
            return Thermometer(tensors[about["tensor"]], counts)
        case "expansion":
            shape = (count(about["width"]), count(about["num_inputs"]))
            return Expansion(encode.pack_host(from_octets(tensors[about["tensor"]], (), shape)), shape[1])
        case "rocket":
            levels, counted = (decode(about[name], tensors) for name in ("levels", "counted"))
            groups, biases = (tensors[about[name]] for name in ("groups", "biases"))
            if groups.shape[1:] == (2,) and biases.dtype == np.int8:  # as files had them before there were sums
                groups, biases = np.pad(groups, ((0, 0), (0, 1))), biases.astype(np.int16)
            return Rocket(levels, groups, biases, counted, count(about["num_steps"]))  # type: ignore[arg-type]
        case "edges":
            levels, differences = (decode(about[name], tensors) for name in ("levels", "differences"))
            return Edges(tuple(count(n) for n in about["image_shape"]), levels, differences)  # type: ignore[arg-type]
        case "union":
            return encode.union(*(decode(one, tensors) for one in about["encoders"]))
        case "composition":
            encoders = tuple(decode(one, tensors) for one in about["encoders"])
            encode.compose(*encoders)  # for its checks; the nesting stays
            return Composition(encoders)
    raise ValueError(f"an encoder of unknown type {about['type']!r}")


def count(value: Any, least: int = 1) -> int:
    """An integer as a file has it; a ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"wanted an integer of at least {least}, got {value!r}")
    return value


def to_octets(positive: np.ndarray, lead: tuple[int, ...]) -> np.ndarray:
    """Bool ``[*lead, N, K]`` to uint8 ``[*lead, ceil(N·K / 8)]``."""
    return np.packbits(positive.reshape(*lead, -1), axis=-1, bitorder="little")


def from_octets(octets: np.ndarray, lead: tuple[int, ...], shape: tuple[int, int]) -> np.ndarray:
    """The inverse of `to_octets`."""
    size = math.prod(shape)
    if octets.dtype != np.uint8 or octets.shape != (*lead, -(-size // 8)):
        raise ValueError(f"±1 {lead + shape} as {octets.dtype} {octets.shape}")
    return np.unpackbits(octets, axis=-1, count=size, bitorder="little").reshape(lead + shape).astype(bool)


def _check(model: Model, encoder: Encoder) -> Encoder:
    num_bits = getattr(encoder, "num_bits", None)
    if num_bits is not None and num_bits != model.num_inputs:
        raise ValueError(f"save: the model takes {model.num_inputs} bits, the encoder gives {num_bits}.")
    return encoder


def _describe(encoder: Encoder, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    name = f"encoder.{sum(re.fullmatch(r'encoder.[0-9]+', key) is not None for key in tensors)}"
    if type(encoder) is Composition:
        return {"type": "composition", "encoders": [_describe(one, tensors) for one in encoder.encoders]}
    if type(encoder) is Union:
        return {"type": "union", "encoders": [_describe(one, tensors) for one in encoder.encoders]}
    if type(encoder) is Expansion:
        tensors[name] = to_octets(unpack_host(encoder.matrix, encoder.num_inputs), ())
        return {"type": "expansion", "tensor": name, "num_inputs": encoder.num_inputs, "width": encoder.num_bits}
    if type(encoder) is Rocket:
        about = {name: _describe(getattr(encoder, name), tensors) for name in ("levels", "counted")}
        tensors |= {f"{name}.groups": encoder.groups, f"{name}.biases": encoder.biases}
        places = {"groups": f"{name}.groups", "biases": f"{name}.biases", "num_steps": encoder.num_steps}
        return {"type": "rocket", **about, **places}
    if type(encoder) is Edges:
        about = {name: _describe(getattr(encoder, name), tensors) for name in ("levels", "differences")}
        return {"type": "edges", **about, "image_shape": list(encoder.image_shape)}
    if type(encoder) is Thermometer:
        if encoder.thresholds.dtype.itemsize > _THRESHOLD_BYTES:
            raise TypeError(f"save: thresholds of {encoder.thresholds.dtype} do not fit the file; use float64.")
        tensors[name] = encoder.thresholds
        if encoder.counts is None:
            return {"type": "thermometer", "tensor": name}
        tensors[f"{name}.counts"] = encoder.counts
        return {"type": "thermometer", "tensor": name, "counts": f"{name}.counts"}
    raise TypeError(f"save: wanted an encoder from bep_jax.encode, got {type(encoder).__name__}.")
