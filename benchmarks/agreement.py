"""How far the updates of filters agree with straight-through gradients on the same weights, band and winners compared.

    python -m benchmarks.agreement

One network learns (6,000 images of MNIST, by band). After some epochs, on 500 images that it has not seen, its filters'
integer update by band, by winners of each position and by tied winners is set beside minus the float gradient of the
cross-entropy through the same visible weights (`bep_jax.baselines.qat`, scaled sums): their cosine, and how many
weights are pushed the same way among those that both push. The gradient's logits are scaled by 1/√width.
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import bep_jax as bep
from bep_jax.baselines import qat
from bep_jax.files import runs

PATH = Path(__file__).parent / "results" / "convolution" / "agreement.jsonl"
EPOCHS, TRAINED, BATCH, SEEN = (0, 1, 2, 4, 8, 16), 6000, 100, 500
WAYS = {"band": (), "winners": (16,), "tied winners": (16,)}


def of_ways(model: bep.Model, learns: str) -> bep.Model:
    """The model with another way for its convolutions to learn."""
    first = dataclasses.replace(model.layers[0], learns=learns)
    return dataclasses.replace(model, layers=(first, *model.layers[1:]))


def gradient(model: bep.Model, params: bep.Params, x: jax.Array, y: jax.Array) -> np.ndarray:
    """Minus the straight-through gradient of the first matrix."""
    classes = bep.bits.unpack(params.classifier, num_bits=model.num_outputs)
    latent = tuple(jnp.where(h >= 0, 0.5, -0.5).astype(jnp.float32) for h in (*params.hidden, classes))
    variables = qat.init(jax.random.key(0), model)

    def loss(latent):
        trained = variables.trained._replace(latent=latent)
        scores = qat.logits(model, variables._replace(trained=trained), x)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], axis=1))

    return -np.asarray(jax.jit(jax.grad(loss))(latent)[0])


def main() -> None:
    data = bep.datasets.load("mnist")
    model = bep.conv(image_shape=(28, 28), filters=((64, 7, 3),), widths=(525, 525), num_classes=10)
    rule = bep.Rule(gate=0.03, group_size=75)
    limits = {
        way: bep.thresholds(of_ways(model, way), dataclasses.replace(rule, group_size=(*sizes, 75, 75)))
        for way, sizes in WAYS.items()
        if sizes
    } | {"band": bep.thresholds(model, rule)}
    x, y = (jnp.asarray(a[:TRAINED]) for a in (data.train_x, data.train_y))
    seen_x, seen_y = (jnp.asarray(a[TRAINED : TRAINED + SEEN]) for a in (data.train_x, data.train_y))
    params = model.init(jax.random.key(0), scale=bep.initial_scale(model, BATCH))
    state = bep.optimizer(rule, jax.random.key(1)).init(params.hidden)

    @bep.jit
    def epoch(params, state, order):
        def body(carry, rows):
            *carry, stats = bep.step(model, limits["band"], *carry, x[rows], y[rows])
            return tuple(carry), stats.correct

        (params, state), correct = jax.lax.scan(body, (params, state), order)
        return params, state, jnp.sum(correct)

    random = np.random.default_rng(0)
    lines = []
    for number in range(EPOCHS[-1] + 1):
        if number in EPOCHS:
            wanted = gradient(model, params, seen_x, seen_y)
            line = {"epoch": number}
            for way, numbers in limits.items():
                updates, stats = bep.updates(of_ways(model, way), numbers, params, seen_x, seen_y)
                found = np.asarray(updates[0], np.float64)
                both = (found != 0) & (wanted != 0)
                cosine = float((found * wanted).sum() / np.linalg.norm(found) / np.linalg.norm(wanted))
                same = float((np.sign(found) == np.sign(wanted))[both].mean())
                line[way] = {"cosine": round(cosine, 3), "same_sign": round(same, 3), "learn": int(stats.winners[0])}
            line["processor"] = runs.environment()["platform"]["processor"]
            lines.append(json.dumps(line))
            print(lines[-1], flush=True)
        order = random.permutation(TRAINED).reshape(-1, BATCH)
        params, state, correct = epoch(params, state, jnp.asarray(order, jnp.int32))
        state = bep.rescale(state, 1 - int(correct) / TRAINED)
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
