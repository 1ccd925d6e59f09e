"""`BEPClassifier`: scikit-learn's own checks, and what users of scikit-learn do."""

import pickle
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, recall_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import bep_jax as bep
from bep_jax.data import encode
from bep_jax.estimators import BEPClassifier, bits, samples

X, Y = load_wine(return_X_y=True)
NAMES = np.array(["barbera", "grignolino", "barolo"], object)


def small(**parameters):
    return BEPClassifier(**{"widths": (35,), "epochs": 8, "n_networks": 2, "random_state": 0} | parameters)


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X[::2], NAMES[Y[::2]])


def test_scikit_learn_checks():
    """Every one, with none that may fail; one is skipped, of arrays that are not NumPy's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(small(random_state=None), on_fail=None)
    assert len(results) > 50
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] not in ("passed", "skipped")}
    assert not failed, failed
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= {"check_array_api_input"}


def test_cross_validation_compiles_once():
    """Five folds of 113 samples: of 90 and of 91; and a grid of numbers that only change limits."""
    compiled = []

    def listen(event, duration, **kwargs):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    x, y = X[:113], Y[:113] % 2
    own = small(epochs=1, widths=(21,))  # which no other test has
    own.fit(x[:90], y[:90]).predict(x[90:])
    assert compiled, "the event has another name now: the test shows nothing"
    compiled.clear()
    assert len(cross_val_score(own, x, y, cv=5)) == 5
    grid = {"margin": [0.3, 0.9], "gate": [0.02, 0.1], "scale": [64, 70.0]}
    GridSearchCV(own, grid, cv=2, refit=False).fit(x, y)
    assert not compiled


def test_pipeline_grid_search_clone_and_pickle(fitted):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small()), {"bepclassifier__group_size": [5, 7]}, cv=2, n_jobs=1
    )
    search.fit(X[::2], Y[::2])
    assert search.best_score_ > 0.85
    assert search.best_estimator_.score(X[1::2], Y[1::2]) > 0.85
    assert not hasattr(clone(fitted), "networks_")
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.decision_function(X), fitted.decision_function(X))
    assert len(pickle.dumps(fitted)) < 150_000
    voting = VotingClassifier([("a", small()), ("b", small(random_state=1))], voting="soft")
    assert voting.fit(X[::2], Y[::2]).score(X[1::2], Y[1::2]) > 0.85


def test_threads_and_seeds_give_the_same(fitted):
    options = {"cv": 2, "scoring": "neg_log_loss"}
    one = cross_val_score(small(), X[::2], Y[::2], **options)
    np.testing.assert_array_equal(one, cross_val_score(small(), X[::2], Y[::2], **options))
    import joblib

    with joblib.parallel_backend("threading", n_jobs=2):
        np.testing.assert_array_equal(one, cross_val_score(small(), X[::2], Y[::2], n_jobs=2, **options))
    other = small(random_state=1).fit(X[::2], NAMES[Y[::2]])
    assert (other.decision_function(X) != fitted.decision_function(X)).any()


def test_labels_keep_their_type(fitted):
    assert fitted.classes_.dtype == object and fitted.classes_.tolist() == sorted(NAMES)
    assert fitted.score(X[1::2], NAMES[Y[1::2]]) > 0.85
    flags = small(epochs=1).fit(X[::2], Y[::2] > 0)
    assert flags.predict(X).dtype == bool and flags.decision_function(X).shape == (len(X),)
    big = small(epochs=1).fit(X[::2], Y[::2].astype(np.int64) * 10**12)
    assert set(big.predict(X)) <= {0, 10**12, 2 * 10**12}
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(13)])
    named = small(epochs=1).fit(frame[::2], pd.Series(NAMES[Y[::2]], dtype="category"))
    assert named.feature_names_in_.tolist() == frame.columns.tolist() and named.n_features_in_ == 13
    with pytest.raises(ValueError, match="feature names"):
        named.predict(frame[frame.columns[::-1]])


def test_what_data_may_be(fitted):
    missing = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    assert small().fit(missing[::2], Y[::2]).score(missing[1::2], Y[1::2]) > 0.8
    assert fitted.predict(X[:1].astype(np.float32)) == fitted.predict(X[:1])
    masked = np.ma.masked_array(X, np.isnan(missing))  # what lies under a mask is no number
    np.testing.assert_array_equal(fitted.decision_function(masked), fitted.decision_function(missing))
    with pytest.raises(TypeError, match="BEPClassifier: X: wanted an array"):
        fitted.predict(jax.random.split(jax.random.key(0), 3))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        small().fit(sparse.csr_array(X), Y)
    with pytest.raises(ValueError, match="infinity"):
        small().fit(np.where(X > 100, np.inf, X), Y)
    with pytest.raises(ValueError, match="continuous"):
        small().fit(X, X[:, 0])
    with pytest.raises(NotFittedError):
        small().predict(X)
    wrong = {"n_networks": 0, "epochs": 1.5, "margin": 2.0, "validation_fraction": 1.0, "widths": 35}
    weights = ({0: -1, 1: 1, 2: 1}, "even", np.ones(3))
    for bad in (*({name: value} for name, value in wrong.items()), *({"class_weight": weight} for weight in weights)):
        with pytest.raises((TypeError, ValueError), match=next(iter(bad))):
            small(**bad).fit(X, Y)


def test_one_class_and_constant_features():
    alone = small().fit(X, np.full(len(X), "red"))
    assert set(alone.predict(X)) == {"red"} and (alone.predict_proba(X) == 1).all()
    assert small(epochs=1).fit(np.ones_like(X[::2]), Y[::2]).predict(X).shape == (len(X),)


def test_partial_fit():
    stream = small()
    with pytest.raises(ValueError, match="first call wants classes"):
        stream.partial_fit(X, Y)
    for i in range(12):
        stream.partial_fit(X[i % 3 :: 4], NAMES[Y[i % 3 :: 4]], classes=NAMES if i == 0 else None)
    assert stream.score(X[3::4], NAMES[Y[3::4]]) > 0.85
    with pytest.raises(ValueError, match=r"labels \['merlot'\] are not among the classes"):
        stream.partial_fit(X[:2], ["merlot", "barolo"])
    with pytest.raises(ValueError, match="this one"):
        stream.partial_fit(X, NAMES[Y], classes=["merlot", "barolo"])
    stream.partial_fit(X[:1], NAMES[Y[:1]])


def test_warm_start_goes_on():
    one = small(warm_start=True, epochs=2, early_stopping=True).fit(X[::2], Y[::2])
    before = one.networks_
    one.fit(X[::2], Y[::2])
    assert int(one.networks_.state.epoch[0]) == 4 and int(before.state.epoch[0]) == 2
    with pytest.raises(ValueError, match="warm_start wants the classes of the last fit"):
        one.fit(X, NAMES[Y])
    assert one.set_params(warm_start=False).fit(X, NAMES[Y]).networks_.state.epoch[0] == 2


def test_settings_are_searched_for():
    tuned = small(widths=(15,), epochs=2, n_networks=1, tune_minutes=0.0).fit(X[::2], Y[::2])
    assert isinstance(tuned.networks_.rule, bep.Rule) and tuned.n_iter_ == 2


def test_early_stopping_ends_early():
    early = small(early_stopping=True, epochs=60).fit(X[::2], Y[::2])
    assert 10 < early.n_iter_ < 60


def test_class_weight_draws_a_class_more_often():
    y = np.repeat([0, 1], [90, 10])
    counts = np.bincount(y[samples.weighted(y, {"a": 1, "b": 2}, np.array(["a", "b"]))])
    assert counts.tolist() == [90, 20]
    assert set(y[samples.weighted(y, {0: 1000, 1: 0.0001}, np.array([0, 1]))]) == {0}
    rng = np.random.default_rng(0)
    rare = (rng.random(600) < 0.08).astype(int)
    x = rng.normal(size=(600, 5)) + 0.8 * rare[:, None]
    recalls = [
        recall_score(rare[300:], small(class_weight=weight).fit(x[:300], rare[:300]).predict(x[300:]))
        for weight in (None, "balanced")
    ]
    assert recalls[1] > recalls[0], recalls


def test_sample_weight_is_how_often_a_sample_is_there(fitted):
    """The same networks as from data that repeat samples, in any order; fractions are scaled."""
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, len(Y[::2]))
    order = rng.permutation(np.repeat(np.arange(len(weight)), weight))
    one = small().fit(X[::2], NAMES[Y[::2]], sample_weight=weight)
    two = small().fit(X[::2][order], NAMES[Y[::2]][order])
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    same = small().fit(X[::2], NAMES[Y[::2]], sample_weight=np.full(len(weight), 0.3))
    np.testing.assert_array_equal(same.predict_proba(X), fitted.predict_proba(X))
    stream = small().partial_fit(X, Y, classes=[0, 1, 2], sample_weight=np.where(Y == 0, 0, 2.5))
    without = small().partial_fit(X[Y > 0], Y[Y > 0], classes=[0, 1, 2])
    np.testing.assert_array_equal(stream.decision_function(X), without.decision_function(X))
    with pytest.raises(ValueError, match="positive for one sample"):
        samples.repeated(np.zeros(3), 3)


def test_probabilities_are_calibrated():
    """One temperature, of held-out samples: the likeliest among others."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 1200)
    x = rng.normal(size=(1200, 6)) + 0.8 * np.eye(3, 6)[y]
    classifier = small(validation_fraction=0.3).fit(x[:600], y[:600])
    scores = classifier.decision_function(x[600:])
    losses = [
        log_loss(y[600:], classifier.networks_.at_temperature(t).probabilities(scores))
        for t in (
            classifier.networks_.temperature / 3,
            classifier.networks_.temperature,
            classifier.networks_.temperature * 3,
        )
    ]
    assert losses[1] < min(losses[0], losses[2]), losses
    probabilities = classifier.predict_proba(x[600:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert scores.dtype == np.float64, "CalibratedClassifierCV takes no integers"
    sure = probabilities.max(axis=1)
    assert abs(sure.mean() - classifier.score(x[600:], y[600:])) < 0.08


def test_networks_are_the_librarys(fitted, tmp_path):
    """What was trained is saved, loaded and written in C as any network is."""
    params = jax.tree.map(lambda a: jax.numpy.asarray(a[0]), fitted.networks_.params)
    path = tmp_path / "wine.safetensors"
    bep.save(path, fitted.networks_.model, params, fitted.encoder_, classes=fitted.classes_.tolist())
    saved = bep.load(path)
    assert saved.classes == tuple(fitted.classes_)
    words = jax.numpy.asarray(saved.encoder(X))
    np.testing.assert_array_equal(saved.encoder(X), fitted.encoder_(X))
    assert bep.logits(saved.model, saved.params, words).shape == (len(X), 3)
    assert "bep_predict" in bep.to_c(fitted.networks_.model, params, fitted.encoder_)


def test_images_are_read_by_convolutions():
    """Flattened images with a bright line, whose row tells the class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    images = rng.normal(0, 0.3, (90, 8, 8))
    images[np.arange(90), 1 + 2 * y] += 1
    classifier = small(image_shape=(8, 8), n_networks=1, bits=2).fit(images[:60].reshape(60, -1), y[:60])
    assert classifier.score(images[60:].reshape(30, -1), y[60:]) > 0.8
    assert classifier.networks_.model.matrix_shapes == ((64, 90), (35, 2304))
    with pytest.raises(ValueError, match=r"image_shape=\(8, 8, 3\) does not fit samples of 64 features"):
        small(image_shape=(8, 8, 3)).fit(images.reshape(90, -1), y)


def test_padding_and_sizes():
    counts = bits.usual_counts(13)
    few, many = (encode.fit_exactly(X[:size], counts) for size in (20, 178))
    assert few.num_bits == many.num_bits == counts.sum() == 256
    assert samples.room(1) == 128 and samples.room(129) == 256
    assert samples.held_out(np.repeat([0, 1, 2], [3, 4, 50]), 0.1, np.random.RandomState(0)).sum() == 6
