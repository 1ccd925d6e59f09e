"""A network trained on many, adapted to one from 200 samples of its own: settings, and what they reach.

The task is that of examples/microcontroller: digits, and a camera mounted on its side. Settings of either learner are
chosen among as many on the digits 5 to 9, and shown on the digits 0 to 4, of which no choice knows anything. Own
samples are learned as the device does it, in batches, one pass and then four more, ours with the bits of the exported
C.
"""

import itertools
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np

import bep_jax as bep
from benchmarks import example, float32, timing
from benchmarks.report import Column, Report
from bep_jax.training.fitting import start_states

RESULTS = pathlib.Path(__file__).parent / "results" / "adaptation.json"
AFTER = (0, 10, 50, 200, 1000)  # own samples
CHOOSE, SHOW = range(5, 10), range(5)  # digits
SETTINGS = tuple(
    itertools.starmap(
        example.Setting, itertools.product((4.0, 8.0, 16.0, 32.0, 64.0), (5, 7, 35), (None, 0.25), (4, 8, 20))
    )
)
COLUMNS = (
    Column("name", "network"),
    Column("learner", "learner"),
    Column("digits", "digits"),
    Column("text", "settings"),
    Column("own_0", "turned, before", 1),
    Column("own_10", "after 10", 1),
    Column("own_50", "50", 1),
    Column("own_200", "200", 1),
    Column("std_200", "±", 1),
    Column("own_1000", "5 × 200", 1),
    Column("old_0", "upright, before", 1),
    Column("old_200", "after 200", 1),
    Column("old_1000", "5 × 200", 1),
)


def run(options, clock: timing.Clock) -> Report:
    """Chooses, then shows."""
    report = Report(
        "A network adapted from 200 samples of its own",
        (
            f"Accuracy in percent on 200 test samples. Trained on upright digits ({example.EPOCHS} epochs, batches of "
            f"{example.BATCH}), adapted to digits turned by a quarter, one pass over 200 samples, then four more. Of "
            f"{len(SETTINGS)} settings of each learner (BEP: initial scale, group size, gate, batch on the device; "
            "float32: rate before, gate as a multiple of the root of the fan-in, rate and batch on the device) the one "
            "with the best mean accuracy after one pass over turned digits 5 to 9 was chosen (first of two rows: mean "
            "of 4 splits into training, own and test samples); the second row shows the digits 0 to 4, of which the "
            "choice knew nothing: mean of 10 splits, ± standard deviation. The convolution has no float32 beside it.",
        ),
        COLUMNS,
    )
    choosing, showing = (range(2), range(2)) if options.quick else (range(4), range(10))
    for name, model in list(example.MODELS.items())[: 1 if options.quick else None]:
        if options.only not in name:
            continue
        for learner, among, adapted in (("BEP", SETTINGS, bep_adapted), ("float32", float32.SETTINGS, float32.adapted)):
            if learner == "float32" and name == example.CONVOLUTION:
                continue
            among = among[::30] if options.quick else among
            tried = adapted(name, model, among, _parts(CHOOSE, choosing), AFTER)
            best = max(range(len(among)), key=lambda i: np.mean([split["own_200"] for split in tried[i]]))
            shown = adapted(name, model, among[best : best + 1], _parts(SHOW, showing), AFTER)[0]
            setting = among[best]
            for digits, found in (("5 to 9", tried[best]), ("0 to 4", shown)):
                row = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
                text = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setting._asdict().items())
                report.add(
                    {"name": name, "learner": learner, "digits": digits, "text": text, "setting": list(setting), **row}
                    | {"std_200": float(np.std([one["own_200"] for one in found], ddof=1)), "splits": found}
                )
    if options.only and (there := pathlib.Path(options.out) / RESULTS.name).exists():  # what is not run anew stays
        rows = json.loads(there.read_text(encoding="utf-8"))["rows"]
        report.rows += [row for row in rows if options.only not in row["name"]]
    for row in report.rows:
        row["splits"] = [{key: round(value, 1) for key, value in one.items()} for one in row["splits"]]
    report.rows.sort(key=lambda row: list(example.MODELS).index(row["name"]))
    return report


def chosen(name: str, learner: str):
    """The setting that the committed results say; of networks that they have not, that of the first."""
    rows = [row for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if row["learner"] == learner]
    row = next((row for row in rows if row["name"] == name), rows[0])
    return (example.Setting if learner == "BEP" else float32.Setting)(*row["setting"])


def bep_adapted(name: str, model: bep.Model, settings, parts, after) -> list[list[dict[str, float]]]:
    """For each setting and split the accuracies, all networks in one program."""
    before = list(dict.fromkeys(one._replace(batch=0) for one in settings))
    rules = [example.rule(model, one) for one in before]
    rows = [(i, split) for i in range(len(before)) for split in range(len(parts))]
    encoders = [example.encoder(name, part["train"][0]) for part in parts]
    words = {key: np.stack([encoders[s](example.shaped(name, parts[s][key][0])) for _, s in rows]) for key in parts[0]}
    labels = {key: np.stack([parts[s][key][1] for _, s in rows]).astype(np.int32) for key in parts[0]}
    data = types.SimpleNamespace(
        train_x=words["train"], train_y=labels["train"], test_x=words["upright"], test_y=labels["upright"]
    )
    limits = jax.tree.map(lambda *a: jnp.stack(a), *(bep.thresholds(model, rules[i]) for i, _ in rows))
    seeds = [split for _, split in rows]
    state = start_states(model, [rules[i] for i, _ in rows], seeds, [before[i].scale for i, _ in rows])
    options = {"epochs": example.EPOCHS, "batch_size": example.BATCH, "validation": 0, "progress": False}
    result = bep.fit(model, limits, data, seeds=seeds, state=state, **options)
    found = {}
    for batch in dict.fromkeys(one.batch for one in settings):
        accuracies = _adapt(model, limits, result.params, words, labels, batch, after)
        for row, (i, split) in enumerate(rows):
            found[before[i]._replace(batch=batch), split] = {key: float(v[row]) for key, v in accuracies.items()}
    return [[found[one, split] for split in range(len(parts))] for one in settings]


def _adapt(model, limits, params, words, labels, batch: int, after) -> dict[str, np.ndarray]:
    """What the exported C does."""

    def learn(limits, params, state, x, y):
        def one(carry, part):
            params, state, stats = bep.step(model, limits, *carry, *part)
            return (params, state), (params, stats.correct)

        carry, (steps, correct) = jax.lax.scan(one, (params, state), (x, y))
        return carry, steps, jnp.sum(correct, dtype=jnp.int32)

    def start(limits, params):
        return bep.optimizer(limits, jax.random.key(0)).init(params.hidden)

    count = labels["own"].shape[1]
    x, y = (a.reshape(len(a), count // batch, batch, *a.shape[2:]) for a in (words["own"], labels["own"]))
    learn = jax.jit(jax.vmap(learn))
    predict = jax.jit(jax.vmap(lambda params, x: jnp.argmax(bep.logits(model, params, x), 1)))
    state = jax.vmap(start)(limits, params)
    accuracies: dict[str, np.ndarray] = {}

    def note(seen, params):
        for kind, part in (("own", "turned"), ("old", "upright")):
            accuracies[f"{kind}_{seen}"] = 100 * np.mean(np.asarray(predict(params, words[part])) == labels[part], 1)

    note(0, params)
    for epoch in range(after[-1] // count):
        (params, state), steps, correct = learn(limits, params, state, x, y)
        if epoch == 0:
            for seen in after[1:-1]:
                if done := seen // batch:
                    note(seen, jax.tree.map(lambda a: a[:, done - 1], steps))
                else:
                    accuracies |= {f"{kind}_{seen}": accuracies[f"{kind}_0"] for kind in ("own", "old")}
        state = bep.rescale(state, 1 - np.asarray(correct) / count)
    note(after[-1], params)
    return accuracies


def _parts(digits, splits):
    return [example.make_model().parts(digits, split) for split in splits]
