"""Recall of a class of 4 %: `class_weight="balanced"` beside none, and a balanced logistic regression.

``python -m benchmarks.skewed`` writes results/settings/skewed.md: two tables of 2,000 training and 4,000 test samples
with 20 features, in one of which the class is clusters among the others, in the other eight features are a bit higher.
"""

import pathlib
from collections.abc import Iterator

import jax
import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bep_jax as bep
from bep_jax.data import encode
from bep_jax.files import runs

TABLE = pathlib.Path(__file__).parent / "results" / "settings" / "skewed.md"
TRAIN, TEST, SHARE, SEEDS = 2000, 4000, 0.04, 2


def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Of 20 features, 6 say something and 4 repeat it."""
    sizes = {"n_samples": TRAIN + TEST, "n_features": 20, "n_informative": 6, "n_redundant": 4}
    return make_classification(**sizes, weights=[1 - SHARE], flip_y=0.0, random_state=0)


def shifted() -> tuple[np.ndarray, np.ndarray]:
    """Of 20 features of noise, 8 are higher by 0.6."""
    rng = np.random.default_rng(0)
    y = (rng.random(TRAIN + TEST) < SHARE).astype(np.int64)
    x = rng.normal(size=(TRAIN + TEST, 20))
    x[:, :8] += 0.6 * y[:, None]
    return x, y


def rows(name: str, x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, ...]]:
    """Cells: data, method, recall of both classes, their mean."""
    test_x, test_y = x[TRAIN:], y[TRAIN:]
    x, y = x[:TRAIN], y[:TRAIN]

    def cells(method: str, predicted: np.ndarray) -> tuple[str, ...]:
        found = [float(np.mean(predicted[..., test_y == label] == label)) for label in (1, 0)]
        return (name, method, *(f"{100 * share:.1f}" for share in (*found, np.mean(found))))

    for method, weight in (("logistic regression", None), ("logistic regression, balanced", "balanced")):
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight=weight, max_iter=1000)).fit(x, y)
        yield cells(method, model.predict(test_x))
    encoder = encode.fit_thermometer(x, 10)
    parts = encoder(x), y.astype(np.int32), encoder(test_x), test_y.astype(np.int32)
    data = bep.datasets.Dataset(*parts, encoder.num_bits, 2, encoder, ("often", "rare"))
    for widths in ((105, 105), (525, 525)):
        network = bep.mlp(num_inputs=data.num_inputs, widths=widths, num_classes=2)
        for method, class_weight in (("BEP", None), ("BEP, balanced", "balanced")):
            options = {"epochs": 40, "batch_size": 100, "seeds": SEEDS, "progress": False}
            result = bep.fit(network, bep.Rule(), data, class_weight=class_weight, **options)
            for kept, params in (("last epoch", result.params), ("best", result.best_params)):
                if kept == "best" and class_weight is None:
                    continue
                one = [jax.tree.map(lambda a, s=s: a[s], params) for s in range(SEEDS)]
                predicted = np.stack([np.asarray(bep.logits(network, p, data.test_x)).argmax(axis=1) for p in one])
                yield cells(f"{method}, {'-'.join(map(str, widths))}, {kept}", predicted)


def main() -> None:
    """Trains and writes."""
    found = [row for make in (clusters, shifted) for row in rows(make.__name__, *make())]
    header = ("data", "method", "recall of the 4 %", "of the others", "mean")
    text = (
        f"# A class of 4 %\n\n`python -m benchmarks.skewed`. Test samples, in percent; BEP: mean of {SEEDS} networks."
    )
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(f"{text}\n\n{runs.markdown(header, found)}\n")


if __name__ == "__main__":
    main()
