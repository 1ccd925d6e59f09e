"""The float32 networks beside ours, in NumPy: latent weights, straight-through gradients, a hinge on the margin, Adam.

What benchmarks/device_c does on the device; it also trains what starts there.
"""

import itertools
from typing import NamedTuple

import jax
import numpy as np

import bep_jax as bep
from benchmarks import example


class Setting(NamedTuple):
    """Of a float32 network."""

    rate_before: float
    window: int  # errors pass where |z| is at most so many times the square root of the fan-in
    rate: float  # on the device
    batch: int


SETTINGS = tuple(
    itertools.starmap(
        Setting, itertools.product((0.003, 0.01, 0.03), (1, 2), (0.001, 0.003, 0.01, 0.03, 0.1), (4, 8, 20))
    )
)


class Network:
    """A dense or recurrent network of a model's shape, its class vectors given."""

    def __init__(self, model: bep.Model, classifier: np.ndarray, window: int, seed: int):
        rng = np.random.default_rng(seed)
        self.weights = [rng.normal(0, 0.1, shape).astype(np.float32) for shape in model.matrix_shapes]
        self.recurrent, self.classifier = model.recurrent, classifier.astype(np.float32)
        fan_ins = [sum(k for _, k in layer.matrix_shapes) for layer in model.layers]
        self.limits = [int(window * np.sqrt(k)) for k in fan_ins]
        self.margin = int(np.ceil(0.5 * model.num_outputs))
        self.forget()

    def forget(self) -> None:
        """Moments as at the start."""
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.weights]
        self.step = 0

    def forward(self, x: np.ndarray):
        """Scores, inputs of every layer and sums; ``x`` ±1 ``[B, K]`` or ``[B, T, K]``."""
        signs = [_signs(w) for w in self.weights]
        inputs, sums = [], []
        if self.recurrent:
            state = np.ones((len(x), signs[1].shape[0]), np.float32)
            for t in range(x.shape[1]):
                inputs.append((x[:, t], state))
                sums.append(x[:, t] @ signs[0].T + state @ signs[1].T)
                state = _signs(sums[-1])
            x, signs = state, signs[2:]
        for w in signs:
            inputs.append(x)
            sums.append(x @ w.T)
            x = _signs(sums[-1])
        return x @ self.classifier.T, inputs, sums

    def learn(self, x: np.ndarray, y: np.ndarray, rate: float) -> None:
        """One batch."""
        scores, inputs, sums = self.forward(x)
        rows = np.arange(len(y))
        own, others = scores[rows, y], scores.copy()
        others[rows, y] = -np.inf
        rival = others.argmax(1)
        active = own - others[rows, rival] < self.margin
        error = np.where(active[:, None], self.classifier[rival] - self.classifier[y], np.float32(0))
        gradients = [np.zeros_like(w) for w in self.weights]
        dense = len(self.weights) - 2 * self.recurrent
        for i in reversed(range(dense)):
            at, place = i + 2 * self.recurrent, len(sums) - dense + i
            error = np.where(np.abs(sums[place]) <= self.limits[i + self.recurrent], error, 0)
            gradients[at] = error.T @ inputs[place]
            error = error @ _signs(self.weights[at])
        for t in reversed(range(len(sums) - dense)):
            error = np.where(np.abs(sums[t]) <= self.limits[0], error, 0)
            gradients[0] += error.T @ inputs[t][0]
            gradients[1] += error.T @ inputs[t][1]
            error = error @ _signs(self.weights[1])
        self.step += 1
        scale = rate * np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step)
        for w, gradient, (first, second) in zip(self.weights, gradients, self.moments, strict=True):
            first += np.float32(0.1) * (gradient - first)
            second += np.float32(0.001) * (gradient**2 - second)
            w -= np.float32(scale) * first / (np.sqrt(second) + np.float32(1e-6))
            np.clip(w, -1, 1, out=w)


def trained(name: str, model: bep.Model, part, encoder, setting: Setting, seed: int) -> Network:
    """Trained on upright images for as many epochs as ours."""
    (x, y), rng = part["train"], np.random.default_rng(seed)
    network = Network(model, classifier(model, seed), setting.window, seed)
    x = bits(name, encoder, x)
    for _ in range(example.EPOCHS):
        order = rng.permutation(len(y))
        for start in range(0, len(y), example.BATCH):
            rows = order[start : start + example.BATCH]
            network.learn(x[rows], y[rows], setting.rate_before)
    network.forget()
    return network


def bits(name: str, encoder, images: np.ndarray) -> np.ndarray:
    """±1 ``[n, K]`` or ``[n, T, K]``."""
    x = example.shaped(name, images)
    return np.where(x[..., None] > encoder.thresholds, np.float32(1), np.float32(-1)).reshape(*x.shape[:-1], -1)


def c_text(name: str, model: bep.Model, network: Network, encoder, setting: Setting) -> str:
    """float32_model.h: sizes, thresholds, first weights."""
    latent = ", ".join(f"{v!r}f" for w in network.weights for v in w.ravel().astype(float).tolist())
    rows = ", ".join("{" + ", ".join(map(str, row)) + "}" for row in network.classifier.astype(int).tolist())
    thresholds = ", ".join(map(str, encoder.thresholds.ravel().tolist()))
    count, bits_in = sum(w.size for w in network.weights), model.num_inputs
    sizes = {
        "BEP_NUM_INPUTS": encoder.num_features,
        "BEP_NUM_CLASSES": model.num_classes,
        "NUM_OUTPUTS": f"{model.num_outputs}u",
        "NUM_WEIGHTS": f"{count}u",
        "BATCH_SIZE": f"{setting.batch}u",
        "MARGIN": network.margin,
        "RATE": f"{setting.rate}f",
    }
    arrays = [f"static const uint8_t thresholds[{bits_in}] = {{{thresholds}}};"]
    if model.recurrent:
        sizes |= {"BEP_WINDOW": 8, "BEP_NUM_BITS": bits_in, "NUM_STATE": f"{model.widths[0]}u"}
        sizes |= {"PIXEL_BITS": bits_in // encoder.num_features}
    else:
        widths = [bits_in, *model.widths]
        sizes |= {"NUM_LAYERS": f"{len(model.widths)}u", "NUM_UNITS": f"{sum(widths)}u"}
        arrays.append(f"static const uint16_t widths[NUM_LAYERS + 1] = {{{', '.join(map(str, widths))}}};")
    limits = ", ".join(map(str, network.limits))
    return "\n".join(
        [
            "typedef uint8_t bep_input_t;",
            *(f"#define {key} {value}" for key, value in sizes.items()),
            *arrays,
            f"static const int16_t limits[{len(network.limits)}] = {{{limits}}};",
            f"static const int8_t classifier[BEP_NUM_CLASSES][{model.num_outputs}] = {{{rows}}};",
            f"static float latent[NUM_WEIGHTS] = {{{latent}}};\n",
        ]
    )


def adapted(name: str, model: bep.Model, settings, parts, after) -> list[list[dict[str, float]]]:
    """For each setting and split the accuracies."""
    found: list[list[dict[str, float]]] = [[] for _ in settings]
    for split, part in enumerate(parts):
        encoder = example.encoder(name, part["train"][0])
        x = {key: bits(name, encoder, images) for key, (images, _) in part.items()}
        start: dict[tuple[float, int], list[np.ndarray]] = {}
        for i, setting in enumerate(settings):
            before = setting[:2]
            if before not in start:
                start[before] = trained(name, model, part, encoder, setting, split).weights
            network = Network(model, classifier(model, split), setting.window, split)
            network.weights = [w.copy() for w in start[before]]
            found[i].append(_accuracies(network, x, {key: y for key, (_, y) in part.items()}, setting, after))
    return found


def _accuracies(network: Network, x, y, setting: Setting, after) -> dict[str, float]:
    count, accuracies = len(y["own"]), {}
    for seen in range(0, after[-1] + 1):
        if seen and seen % setting.batch == 0:
            rows = np.arange(seen - setting.batch, seen) % count
            network.learn(x["own"][rows], y["own"][rows], setting.rate)
        if seen in after:
            for kind, part in (("own", "turned"), ("old", "upright")):
                right = network.forward(x[part])[0].argmax(1) == y[part]
                accuracies[f"{kind}_{seen}"] = 100 * float(right.mean())
    return accuracies


def classifier(model: bep.Model, seed: int) -> np.ndarray:
    """±1 ``[C, N]``, as ours."""
    frame = bep.equiangular_frame(jax.random.key(seed), model.num_classes, model.num_outputs)
    return np.asarray(bep.bits.unpack(frame, num_bits=model.num_outputs)).astype(np.int32)


def _signs(values: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, np.float32(1), np.float32(-1))
