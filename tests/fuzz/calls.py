"""Every public function, with small good arguments, one or two of which are made strange."""

import functools
import math
import random
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from drawn import draw

import bep_jax as bep
from bep_jax.kernels import products
from bep_jax.training import loop, samples
from fuzz.samples import Files
from fuzz.strange import mutated


class Target(NamedTuple):
    """Something to call with arguments that are good until one of them is made strange."""

    name: str
    call: Callable[..., Any]
    good: Callable[[], dict[str, Any]]


class Basics:
    """What good arguments are made of; drawn by NumPy, and only when a call wants it."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.model = bep.mlp(num_inputs=6, widths=(15,), num_classes=3)
        self.rule = bep.Rule(group_size=5)
        self.x = self.random.integers(0, 64, (20, 1), dtype=np.uint32)
        self.y = self.random.integers(0, 3, 20).astype(np.int32)
        self.params = draw(self.model)
        self.data = types.SimpleNamespace(train_x=self.x, train_y=self.y, test_x=self.x, test_y=self.y)
        self.features = self.random.normal(size=(20, 3))
        self.labels = np.array(["a", "b"] * 10)
        self.z = self.random.integers(-6, 7, (15, 20)).astype(np.int32)
        self.desired = self.random.integers(0, 2**15, (1, 20), dtype=np.uint32)
        self.active = np.ones(20, bool)
        self.stop = (lambda report: "stop",)

    @functools.cached_property
    def limits(self) -> bep.Limits:
        return bep.thresholds(self.model, self.rule)

    @functools.cached_property
    def opt_state(self) -> Any:
        return bep.optimizer(self.limits, jax.random.key(0)).init(self.params.hidden)

    @functools.cached_property
    def forward(self) -> Any:
        return bep.forward(self.model, self.params, self.x)

    @functools.cached_property
    def floats(self) -> Any:
        from bep_jax.baselines import qat

        return qat.init(jax.random.key(0), self.model, batch_norm=True)

    @functools.cached_property
    def encoder(self) -> Any:
        return bep.encode.fit_thermometer(self.features, 2)

    @functools.cached_property
    def own(self) -> Any:
        return bep.datasets.from_arrays(self.features, self.labels, self.features, self.labels, num_bits=2)

    @functools.cached_property
    def files(self) -> Files:
        return Files()


def functions() -> list[Target]:
    """Every public function, with small good arguments."""
    b = Basics()
    found = [
        Target("mlp", bep.mlp, lambda: dict(num_inputs=6, widths=(15,), num_classes=3)),
        Target(
            "rnn",
            bep.rnn,
            lambda: dict(
                num_inputs=6, state_width=9, output_width=5, num_classes=3, horizon=2, patterns=3, gated_update=True
            ),
        ),
        Target(
            "conv",
            bep.conv,
            lambda: dict(
                image_shape=(6, 5),
                channels=2,
                filters=((7, 3, 2, 1), (5, (2, 1), 1)),
                widths=(9,),
                num_classes=3,
                learns="band",
            ),
        ),
        Target(
            "Rule", bep.Rule, lambda: dict(margin=0.5, gate=0.1, group_size=(5,), reinforcement=0.5, bits=16, band=0.5)
        ),
        Target("Dense", bep.Dense, lambda: dict(num_inputs=6, width=15, learns="winners")),
        Target(
            "Convolution",
            bep.Convolution,
            lambda: dict(
                image_shape=(6, 5), channels=2, width=7, patch=(3, 2), stride=(2, 1), padding=(1, 0), learns="band"
            ),
        ),
        Target(
            "Recurrent", bep.Recurrent, lambda: dict(num_inputs=6, width=9, horizon=2, patterns=3, gated_update=True)
        ),
        Target("Model", bep.Model, lambda: dict(layers=b.model.layers, num_classes=3)),
        Target(
            "Model.init", lambda key, scale: b.model.init(key, scale), lambda: dict(key=jax.random.key(0), scale=8.0)
        ),
        Target("thresholds", bep.thresholds, lambda: dict(model=b.model, rule=b.rule)),
        Target("initial_scale", bep.initial_scale, lambda: dict(model=b.model, batch_size=10, num_steps=None)),
        Target(
            "equiangular_frame",
            bep.equiangular_frame,
            lambda: dict(key=jax.random.key(0), num_classes=3, width=15, alpha=1.0),
        ),
        Target("summary", bep.summary, lambda: dict(model=b.model)),
        Target("visible", bep.visible, lambda: dict(model=b.model, params=b.params)),
        Target("logits", bep.logits, lambda: dict(model=b.model, params=b.params, x=b.x)),
        Target("forward", bep.forward, lambda: dict(model=b.model, params=b.params, x=b.x)),
        Target(
            "backward",
            bep.backward,
            lambda: dict(
                model=b.model,
                rule=b.rule,
                params=b.params,
                residuals=b.forward[1],
                logits=b.forward[0],
                y=b.y,
                where=b.active,
            ),
        ),
        Target(
            "updates",
            bep.updates,
            lambda: dict(model=b.model, rule=b.rule, params=b.params, x=b.x, y=b.y, where=b.active),
        ),
        Target(
            "step",
            bep.step,
            lambda: dict(
                model=b.model, rule=b.rule, params=b.params, opt_state=b.opt_state, x=b.x, y=b.y, where=b.active
            ),
        ),
        Target(
            "optimizer",
            lambda rule, key, hidden: bep.optimizer(rule, key).init(hidden),
            lambda: dict(rule=b.limits, key=jax.random.key(0), hidden=b.params.hidden),
        ),
        Target("rescale", bep.rescale, lambda: dict(opt_state=b.opt_state, error_rate=0.5)),
        Target(
            "jit",
            lambda function, compiler_options: bep.jit(function, compiler_options=compiler_options)(1),
            lambda: dict(function=lambda one: one, compiler_options={}),
        ),
        Target("compiler_options", bep.compiler_options, lambda: dict(once=True)),
        Target("register_layer", bep.register_layer, lambda: dict(kind=None)),
        Target(
            "fit",
            bep.fit,
            lambda: dict(
                model=b.model,
                rule=b.rule,
                data=b.data,
                epochs=1,
                batch_size=10,
                seeds=1,
                progress=False,
                key=jax.random.key(0),
                validation=0.1,
                patience=3,
                scale=8.0,
                params=None,
                opt_state=None,
                keep="last",
                stop_after=None,
                class_weight=None,
                shift=0,
                mirror=False,
                callbacks=b.stop,
                checkpoint_dir=None,
                resume=False,
                state=None,
                mesh=None,
            ),
        ),
        Target(
            "fit, going on",
            bep.fit,
            lambda: dict(
                model=b.model,
                rule=b.limits,
                data=b.data,
                epochs=1,
                batch_size=10,
                seeds=1,
                progress=False,
                params=b.params,
                opt_state=b.opt_state,
                callbacks=b.stop,
            ),
        ),
        Target(
            "tune",
            bep.tune,
            lambda: dict(
                data=b.own,
                minutes=0.001,
                models={"a": lambda data: bep.mlp(num_inputs=data.num_inputs, widths=(15,), num_classes=2)},
                epochs=1,
                batch_size=10,
                margin=0.5,
                class_weight=None,
                validation=0.2,
                seed=0,
                out=None,
                progress=False,
            ),
        ),
        Target(
            "save",
            bep.save,
            lambda: dict(
                path="net.safetensors",
                model=b.model,
                params=b.params,
                encoder=None,
                classes=("a", "b", "c"),
                hidden=True,
                window=None,
                columns=None,
                temperature=3.0,
            ),
        ),
        Target("load", bep.load, lambda: dict(path=b.files.model)),
        Target("load_c_state", bep.load_c_state, lambda: dict(model=b.model, data=b"\0" * 64)),
        Target(
            "to_c",
            bep.to_c,
            lambda: dict(
                model=b.model,
                params=b.params,
                encoder=None,
                prefix="bep",
                rule=None,
                batch_size=None,
                opt_state=None,
                window=None,
                columns=None,
                classes=("a", "b", "c"),
                ensemble=False,
            ),
        ),
        Target(
            "to_c, learning",
            bep.to_c,
            lambda: dict(model=b.model, params=b.params, rule=b.rule, batch_size=4, opt_state=b.opt_state),
        ),
        Target("fit_temperature", bep.fit_temperature, lambda: dict(scores=b.forward[0], y=b.y)),
        Target("products.forward", products.forward, lambda: dict(weights=b.x, inputs=b.x.T, num_inputs=6)),
        Target("products.backward", products.backward, lambda: dict(weights=b.x, desired=b.desired, gates=b.desired)),
        Target("products.outer", products.outer, lambda: dict(winners=b.x, desired=b.x, inputs=b.x)),
        Target("check_seeds", samples.check_seeds, lambda: dict(seeds=(0, 1))),
        Target("per_seed", loop.per_seed, lambda: dict(settings=b.limits, mapped=False, num_seeds=2)),
        Target("bits.pack", bep.bits.pack, lambda: dict(a=np.ones((3, 40), np.int8))),
        Target("bits.unpack", bep.bits.unpack, lambda: dict(x=b.x, num_bits=6)),
        Target("bits.num_words", bep.bits.num_words, lambda: dict(num_bits=6)),
        Target("dense.forward", bep.dense.forward, lambda: dict(hidden=b.params.hidden[0], inputs=b.x.T)),
        Target("dense.activate", bep.dense.activate, lambda: dict(preactivations=b.z)),
        Target("dense.gate", bep.dense.gate, lambda: dict(preactivations=b.z, threshold=jnp.int32(3))),
        Target("dense.band", bep.dense.band, lambda: dict(preactivations=b.z, active=b.active, width=jnp.int32(3))),
        Target(
            "dense.desired_input",
            bep.dense.desired_input,
            lambda: dict(hidden=b.params.hidden[0], desired=b.desired, gates=b.desired),
        ),
        Target(
            "dense.winners",
            bep.dense.winners,
            lambda: dict(preactivations=b.z, desired=b.desired, active=b.active, group_size=jnp.int32(5), bound=6),
        ),
        Target(
            "dense.summed_stability",
            bep.dense.summed_stability,
            lambda: dict(preactivations=b.z[None], desired=b.desired[None]),
        ),
        Target(
            "dense.tied_winners",
            bep.dense.tied_winners,
            lambda: dict(summed_stability=b.z, active=b.active, group_size=jnp.int32(5), bound=6),
        ),
        Target("dense.visible", bep.dense.visible, lambda: dict(hidden=b.params.hidden[0])),
        Target("dense.visible_by_neurons", bep.dense.visible_by_neurons, lambda: dict(hidden=b.params.hidden[0])),
        Target("dense.transposed", bep.dense.transposed, lambda: dict(words=b.x.T)),
        Target("encode.fit_thermometer", bep.encode.fit_thermometer, lambda: dict(train=b.features, num_bits=3)),
        Target("encode.fit_levels", bep.encode.fit_levels, lambda: dict(train=b.features, num_bits=3)),
        Target("encode.fit_median", bep.encode.fit_median, lambda: dict(train=b.features)),
        Target(
            "encode.expansion",
            lambda key, num_bits, width, x: bep.encode.expansion(key, num_bits, width)(x),
            lambda: dict(key=jax.random.key(0), num_bits=6, width=9, x=b.x),
        ),
        Target(
            "encode.compose",
            lambda first, second: bep.encode.compose(first, second),
            lambda: dict(first=b.encoder, second=bep.encode.expansion(jax.random.key(0), b.encoder.num_bits, 9)),
        ),
        Target(
            "encode.Thermometer",
            lambda thresholds, counts, x: bep.encode.Thermometer(thresholds, counts)(x),
            lambda: dict(thresholds=b.encoder.thresholds, counts=np.array([2, 1, 0]), x=b.features),
        ),
        Target(
            "encode.Expansion",
            lambda matrix, num_inputs, x: bep.encode.Expansion(matrix, num_inputs)(x),
            lambda: dict(matrix=b.x, num_inputs=6, x=b.x),
        ),
        Target(
            "datasets.load",
            bep.datasets.load,
            lambda: dict(
                name="random-prototypes",
                split="official",
                data_dir=None,
                seed=0,
                encoder=None,
                raw=False,
                window=None,
                num_bits=None,
                width=None,
                whole=False,
                fold=None,
                folds=3,
                num_inputs=40,
                num_classes=3,
                num_train=20,
                num_test=10,
                flip_probability=0.4,
            ),
        ),
        Target(
            "datasets.load, table",
            bep.datasets.load,
            lambda: dict(
                name=b.files.table,
                seed=0,
                encoder=None,
                raw=False,
                num_bits=3,
                width=20,
                whole=False,
                label="y",
                test=None,
                test_fraction=0.2,
            ),
        ),
        Target(
            "datasets.load, series",
            bep.datasets.load,
            lambda: dict(
                name="ucr/W", data_dir=b.files.folder, seed=(0, 1), window=3, num_bits=3, whole="tied", fold=1, folds=3
            ),
        ),
        Target("datasets.load, npz", bep.datasets.load, lambda: dict(name=b.files.npz, seed=0, num_bits=3, whole=True)),
        Target(
            "datasets.from_arrays",
            bep.datasets.from_arrays,
            lambda: dict(
                train_x=b.features,
                train_y=b.labels,
                test_x=b.features,
                test_y=b.labels,
                encoder=None,
                raw=False,
                num_bits=3,
                width=9,
                window=None,
                time_axis=None,
                seed=0,
            ),
        ),
        Target(
            "datasets.from_arrays, series",
            bep.datasets.from_arrays,
            lambda: dict(
                train_x=b.features.reshape(10, 3, 2),
                train_y=b.labels[:10],
                test_x=b.features.reshape(10, 3, 2),
                test_y=b.labels[:10],
                num_bits=3,
                window=2,
                time_axis=1,
            ),
        ),
    ]
    return [*found, *_estimators(b.features, b.labels), *_baselines(b)]


def _estimators(features: np.ndarray, labels: np.ndarray) -> list[Target]:
    def classifier(X, y, X2, **options):
        from bep_jax.estimators import BEPClassifier

        return BEPClassifier(**options).fit(X, y).predict_proba(X2)

    def partial(X, y, classes, X2):
        from bep_jax.estimators import BEPClassifier

        options = {"widths": (15,), "epochs": 1, "n_networks": 1, "batch_size": 10}
        return BEPClassifier(**options).partial_fit(X, y, classes).partial_fit(X, y).decision_function(X2)

    def series(X, y, X2, **options):
        from bep_jax.estimators import BEPTimeSeriesClassifier

        return BEPTimeSeriesClassifier(**options).fit(X, y).decision_function(X2)

    images = features.repeat(4, axis=1)
    steps = features.reshape(10, 2, 3)
    common: dict[str, Any] = {
        "widths": (15,), "filters": None, "bits": 2, "margin": 0.5, "gate": None, "group_size": None,
        "reinforcement": 0.5, "scale": None, "n_networks": 1, "epochs": 1, "batch_size": 10,
        "validation_fraction": 0.1, "early_stopping": False, "tune_minutes": None, "class_weight": None,
        "random_state": 0, "verbose": False,
    }  # fmt: skip
    return [
        Target("BEPClassifier", classifier, lambda: {"X": features, "y": labels, "X2": features, **common,
                                                     "image_shape": None, "warm_start": False}),
        Target("BEPClassifier, images", classifier, lambda: {
            "X": images, "y": labels, "X2": images, **common, "image_shape": (4, 3), "filters": ((5, 2, 1),)}),
        Target("BEPClassifier.partial_fit", partial, lambda: {"X": features, "y": labels, "classes": ["a", "b"],
                                                              "X2": features}),
        Target("BEPTimeSeriesClassifier", series, lambda: {"X": steps, "y": labels[:10], "X2": steps, **common,
                                                           "network": "dense"}),
    ]  # fmt: skip


def _baselines(b: Basics) -> list[Target]:
    from bep_jax.baselines import local_rule, qat, random_features

    learning = {"epochs": 1, "batch_size": 10, "seeds": 1, "validation": 0.1, "progress": False}
    return [
        Target("local_rule.fit", local_rule.fit, lambda: {
            "model": b.model, "rule": b.rule, "data": b.data, **learning, "patience": 3, "scale": 8.0,
            "callbacks": b.stop}),
        Target("qat.fit", qat.fit, lambda: {
            "model": b.model, "data": b.data, **learning, "learning_rate": 1e-3, "batch_norm": False, "scaled": True,
            "callbacks": b.stop}),
        Target("qat.init", qat.init, lambda: {"key": jax.random.key(0), "model": b.model, "batch_norm": True,
                                              "num_steps": None, "scaled": True}),
        Target("qat.logits", qat.logits, lambda: {"model": b.model, "variables": b.floats, "x": b.x}),
        Target("qat.make_optimizer", lambda learning_rate: qat.make_optimizer(learning_rate).init(b.floats.trained),
               lambda: {"learning_rate": 1e-3}),
        Target("qat.step", qat.step, lambda: {
            "model": b.model, "optimizer": qat.make_optimizer(1e-3), "variables": b.floats,
            "opt_state": qat.make_optimizer(1e-3).init(b.floats.trained), "x": b.x, "y": b.y, "where": b.active}),
        Target("random_features.fit", random_features.fit, lambda: {
            "model": bep.mlp(num_inputs=6, widths=(15, 15), num_classes=3), "rule": b.rule, "data": b.data, **learning,
            "scale": 8.0, "callbacks": b.stop}),
    ]  # fmt: skip


def draw_call(target: Target, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Arguments of a call, one or two of them strange, and which."""
    pick = random.Random(f"{target.name} {seed}")
    good = target.good()
    names = pick.sample(sorted(good), min(len(good), pick.choice((1, 1, 1, 2))))
    for name in names:
        value = mutated(good[name], pick)
        while _would_only_take_long(name, value):
            value = mutated(good[name], pick)
        good[name] = value
    return good, names


def _would_only_take_long(name: str, value: Any) -> bool:
    """What means a long training to any reader, and is no mistake."""
    least, most = {
        "epochs": (3, 2**31),
        "minutes": (0.05, math.inf),
        "tune_minutes": (0.05, math.inf),
        "n_networks": (9, 1000),
        "seeds": (9, 1000),
    }.get(name, (math.inf, 0))
    return isinstance(value, int | float | np.number) and least < value < most
