"""What people would pick: scikit-learn's classifiers, a Tsetlin machine, aeon's classifiers of series."""

import functools
import pickle
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.peers import data
from benchmarks.peers.data import Part
from benchmarks.peers.peer import Fitted, Peer


def _sklearn(make: Callable, takes_nan: bool, settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    prepare: Callable[[np.ndarray], np.ndarray] = lambda x: data.filled(data.flat(x))  # noqa: E731
    if takes_nan:
        there = ~np.isnan(data.flat(part.train_x)).all(axis=0)  # a step that all series lack is no feature
        prepare = lambda x: data.flat(x)[:, there]  # noqa: E731
    model = make(settings, seed, effort)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # iterations are a setting here, not a mistake
        model.fit(prepare(part.train_x), part.train_y)
    vars(getattr(model, "steps", [("", model)])[-1][1]).pop("_optimizer", None)  # two moments a weight, of no use now
    return Fitted(predict=lambda x: model.predict(prepare(x)), size=len(pickle.dumps(model)))


def _logistic(settings: dict, seed: int, effort: dict):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=settings["C"], max_iter=effort["iterations"]))


def _forest(settings: dict, seed: int, effort: dict):
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(effort["trees"], n_jobs=1, random_state=seed, **settings)


def _boosting(settings: dict, seed: int, effort: dict):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=effort["boosts"], random_state=seed, **settings)


def _perceptron(settings: dict, seed: int, effort: dict):
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier((525, 525), max_iter=effort["passes"], random_state=seed, **settings)
    return make_pipeline(StandardScaler(), network)


def _tsetlin(settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    """Bits as the binary networks have them; the best of its epochs on a tenth of the training samples."""
    import green_tsetlin as gt

    import bep_jax as bep

    x = data.flat(part.train_x)
    one_threshold = part.kind == "image" and settings["bits"] == 1
    encoder = bep.encode.fit_median(x) if one_threshold else bep.encode.fit_thermometer(x, settings["bits"])

    def literals(x: np.ndarray) -> np.ndarray:
        words = np.ascontiguousarray(np.asarray(encoder(data.flat(x))).astype("<u4"))
        return np.unpackbits(words.view(np.uint8), axis=-1, count=encoder.num_bits, bitorder="little")

    every, y = literals(part.train_x), part.train_y.astype(np.uint32)
    order = np.random.default_rng(seed).permutation(len(y))
    held_out, rows = np.split(order, [max(1, len(y) // 10)])
    machine = gt.TsetlinMachine(
        n_literals=encoder.num_bits,
        n_clauses=effort["clauses"],
        n_classes=part.num_classes,
        s=settings["s"],
        threshold=effort["clauses"] // 4,
    )
    # Its seed 0 fails.
    trainer = gt.Trainer(machine, seed=seed + 1, n_jobs=1, n_epochs=effort["tsetlin"], progress_bar=False)
    trainer.set_train_data(every[rows], y[rows])
    trainer.set_eval_data(every[held_out], y[held_out])
    trainer.train()
    predictor, rules = machine.get_predictor(), machine.get_ruleset()
    return Fitted(
        predict=lambda x: np.array([predictor.predict(one) for one in literals(x)], np.int64),
        size=2 * sum(map(len, (*rules.rules, *rules.weights))),  # 16 bits a literal and a weight
    )


def _aeon(make: Callable, settings: dict, part: Part, seed: int, effort: dict) -> Fitted:
    model = make(settings, seed)
    model.fit(data.channels_first(part.train_x), part.train_y)
    return Fitted(predict=lambda x: model.predict(data.channels_first(x)), size=len(pickle.dumps(model)))


def _minirocket(settings: dict, seed: int):
    from aeon.classification.convolution_based import MiniRocketClassifier

    return MiniRocketClassifier(n_jobs=1, random_state=seed, **settings)


def _neighbour(settings: dict, seed: int):
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

    return KNeighborsTimeSeriesClassifier(distance="dtw", distance_params=settings, n_neighbors=1, n_jobs=1)


def _of(*settings: dict) -> Callable[[str], tuple[dict, ...]]:
    return lambda kind: settings


def _tsetlin_candidates(kind: str) -> tuple[dict, ...]:
    return tuple({"bits": bits, "s": s} for s in (5.0, 10.0) for bits in ((1, 4) if kind == "image" else (4, 16)))


_SKLEARN = tuple(
    f"sklearn.{name}" for name in ("ensemble", "linear_model", "neural_network", "pipeline", "preprocessing")
)

PEERS = {
    "logistic regression": Peer(
        functools.partial(_sklearn, _logistic, False),
        _of({"C": 1.0}, {"C": 0.1}, {"C": 0.01}, {"C": 10.0}),
        modules=_SKLEARN,
    ),
    "random forest": Peer(
        functools.partial(_sklearn, _forest, False),
        _of(
            {"max_features": "sqrt"},
            {"max_features": 0.3},
            {"max_features": "sqrt", "min_samples_leaf": 3},
            {"max_features": 0.1},
        ),
        modules=_SKLEARN,
    ),
    "gradient boosting": Peer(
        functools.partial(_sklearn, _boosting, True),
        _of(
            {"learning_rate": 0.1},
            {"learning_rate": 0.3},
            {"learning_rate": 0.05},
            {"learning_rate": 0.1, "max_leaf_nodes": 15},
        ),
        modules=_SKLEARN,
    ),
    "float network": Peer(
        functools.partial(_sklearn, _perceptron, False),
        _of(
            {"learning_rate_init": 1e-3},
            {"learning_rate_init": 1e-2},
            {"learning_rate_init": 1e-3, "alpha": 1e-2},
            {"learning_rate_init": 1e-4},
        ),
        modules=_SKLEARN,
    ),
    "Tsetlin machine": Peer(_tsetlin, _tsetlin_candidates, modules=("green_tsetlin",)),
    "MiniRocket": Peer(
        functools.partial(_aeon, _minirocket),
        _of({"n_kernels": 10_000}, {"n_kernels": 2_000}, {"n_kernels": 5_000}, {"n_kernels": 20_000}),
        kinds=("series",),
        compiles=True,
        modules=("aeon.classification.convolution_based",),
    ),
    "1-NN DTW": Peer(
        functools.partial(_aeon, _neighbour),
        _of({"window": 0.1}, {"window": 0.0}, {"window": 0.05}, {"window": 0.2}),
        kinds=("series",),
        compiles=True,
        modules=("aeon.classification.distance_based",),
    ),
}
