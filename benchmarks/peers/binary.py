"""Binary networks as peers: Binary Error Propagation in its forms, and straight-through training with Adam.

Axis letters: n samples, T time steps, S networks of an ensemble.
"""

import functools
import math
import types
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import bep_jax as bep
from benchmarks.peers import data
from benchmarks.peers.data import Part
from benchmarks.peers.peer import Fitted, Peer
from bep_jax.baselines import qat
from bep_jax.export import model_file


def _dense(settings: dict, part: Part, seed: int, effort: dict, networks: int = 1) -> Fitted:
    """Settings of the rule follow from shapes; bits and widths are chosen."""
    x = data.flat(part.train_x)
    encoder = _encoder(x, settings["bits"], part.kind)
    model = bep.mlp(num_inputs=encoder.num_bits, widths=(settings["width"],) * 2, num_classes=part.num_classes)
    return _trained(model, encoder, data.flat, x, part, [seed * networks + i for i in range(networks)], effort)


def _ensemble(settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    return _dense(settings, part, seed, effort, effort["networks"])


def _rocket(settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    """Dense layers on how often small kernels respond."""
    encoder, x = bep.encode.fit_rocket(part.train_x, settings["bits"]), data.flat(part.train_x)
    model = bep.mlp(num_inputs=encoder.num_bits, widths=(settings["width"],) * 2, num_classes=part.num_classes)
    return _trained(model, encoder, data.flat, x, part, [seed], effort)


def _convolution(settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    """Levels and edges, in patches that follow from the size of an image or a series; of a series counts beside."""
    x, series = data.flat(part.train_x), part.kind == "series"
    edges = encoder = _edges(x, settings["bits"], part.train_x.shape[1:2] if series else None)
    if series:
        encoder = bep.encode.with_counts(edges, part.train_x)
    model = bep.conv(
        image_shape=edges.image_shape,
        channels=edges.pixel_bits,
        widths=(settings["width"],) * 2,
        num_classes=part.num_classes,
        extra=bep.encode.extra_bits(encoder),
    )
    return _trained(model, encoder, data.flat, x, part, [seed], effort)


def _recurrent(settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    """Reads the last steps of a series one by one."""

    def window(x: np.ndarray) -> np.ndarray:
        return x[:, -settings["window"] :]

    x, width = window(part.train_x), settings["width"]
    encoder = _encoder(x, settings["bits"], part.kind)
    model = bep.rnn(
        num_inputs=encoder.num_bits,
        state_width=width,
        output_width=width,
        num_classes=part.num_classes,
        patterns=width // 5,
    )
    return _trained(model, encoder, window, x, part, [seed], effort)


def _trained(model, encoder, cut: Callable, x: np.ndarray, part: Part, seeds: list[int], effort: dict) -> Fitted:
    arrays = types.SimpleNamespace(train_x=np.asarray(encoder(x)), train_y=part.train_y)
    result = bep.fit(
        model,
        bep.Rule(),
        arrays,
        epochs=effort["epochs"],
        decay_after=effort["epochs"] * 3 // 4 or None,
        batch_size=_batch_size(len(x)),
        seeds=seeds,
        key=jax.random.key(0),
        progress=False,
    )

    @jax.jit
    def labels(params, words):
        scores = jax.vmap(lambda p: bep.logits(model, p, words))(params)
        return jnp.argmax(jnp.sum(scores, axis=0), axis=-1)

    one = jax.tree.map(lambda a: a[0], result.params)
    header = bep.to_c(model, one, encoder) if len(seeds) == 1 else None
    return Fitted(
        predict=lambda x: np.asarray(labels(result.params, encoder(cut(x)))),
        size=len(model_file.to_bytes(bep.Saved(model, result.params if len(seeds) > 1 else one, encoder))),
        header=header,
        cut=cut,
        validation=_held_out(result.history),
    )


def _straight_through(settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    """The network of `_dense`, with batch normalisation; for inference one bit a weight, two floats a neuron."""
    x = data.flat(part.train_x)
    encoder = _encoder(x, settings["bits"], part.kind)
    width = settings["width"]
    model = bep.mlp(num_inputs=encoder.num_bits, widths=(width, width), num_classes=part.num_classes)
    arrays = types.SimpleNamespace(train_x=np.asarray(encoder(x)), train_y=part.train_y)
    arrays.test_x, arrays.test_y = arrays.train_x[:1], arrays.train_y[:1]
    result = qat.fit(
        model,
        arrays,
        learning_rate=settings["learning_rate"],
        batch_norm=True,
        epochs=effort["straight_through"],
        batch_size=_batch_size(len(x)),
        seeds=[seed],
        key=jax.random.key(0),
        validation=0.0,
        progress=False,
    )
    variables = jax.tree.map(lambda a: a[0], result.params)
    labels = jax.jit(lambda variables, words: jnp.argmax(qat.logits(model, variables, words), axis=-1))
    thresholds = len(model_file.to_bytes(bep.Saved(model, model.init(jax.random.key(0)), encoder)))
    neurons = 2 * width + part.num_classes
    return Fitted(predict=lambda x: np.asarray(labels(variables, encoder(data.flat(x)))), size=thresholds + 8 * neurons)


def _held_out(history: dict[str, np.ndarray]) -> float | None:
    """Accuracy on the tenth that `bep.fit` holds out, after the last epoch; None where samples are too few for it."""
    return float(np.mean(history["validation_accuracy"][:, -1])) if "validation_accuracy" in history else None


def _encoder(x: np.ndarray, num_bits: int, kind: str):
    return _edges(x, num_bits) if kind == "image" else bep.encode.fit_thermometer(x, num_bits)


def _edges(x: np.ndarray, num_bits: int, shape: tuple[int, ...] | None = None) -> bep.encode.Edges:
    """Of square images, or of a shape."""
    return bep.encode.fit_edges(x, shape or (math.isqrt(x.shape[1]),) * 2, num_bits)


def _batch_size(samples: int) -> int:
    return max(16, min(100, samples // 20))


def _grid(**values) -> Callable[[str], tuple[dict, ...]]:
    """All combinations, first values first."""

    def candidates(kind: str) -> tuple[dict, ...]:
        found: list[dict] = [{}]
        for name, options in values.items():
            if name == "bits" and kind == "image":
                options = (4, 1)
            found = [one | {name: option} for one in found for option in options]
        return tuple(found)

    return candidates


_network = functools.partial(Peer, is_network=True, compiles=True)

PEERS = {
    "BEP dense": _network(_dense, _grid(width=(525, 255), bits=(16, 4))),
    "BEP convolution": _network(_convolution, _grid(width=(525, 255), bits=(16, 4)), kinds=("image", "series")),
    "BEP rocket": _network(_rocket, _grid(width=(525, 255), bits=(4, 2)), kinds=("series",)),
    "BEP recurrent": _network(_recurrent, _grid(width=(255, 525), bits=(20,), window=(8, 32)), kinds=("series",)),
    "BEP ensemble": _network(_ensemble, _grid(width=(525, 255), bits=(16, 4))),
    "QAT + BN": _network(_straight_through, _grid(learning_rate=(1e-3, 1e-2), width=(525,), bits=(16, 4))),
}
