"""The baselines' learners: the local rule against its reference, what random features freeze, fit of all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from training.test_fitting import assert_same_row, make_data

import bep_jax as bep
from bep_jax.baselines import local_rule, qat, random_features
from bep_jax.learning.rule import limits_of

MLP = bep.mlp(num_inputs=40, widths=(15, 30), num_classes=3)
RNN = bep.rnn(num_inputs=20, state_width=15, output_width=30, num_classes=3)
RULE = bep.Rule(margin=0.25, gate=0.3, group_size=5)
KEYS = (jax.random.key(1), jax.random.key(2))
OPTIONS = {"epochs": 2, "batch_size": 10, "seeds": (3, 5), "progress": False}


def test_local_rule_is_the_reference():
    limits = local_rule.thresholds(MLP, RULE)
    learner = local_rule.LocalRuleLearner(MLP, 8.0)
    params, opt_state = learner.init(limits, *KEYS)
    # Without reinforcement the new weights are the updates.
    opt_state = bep.rescale(opt_state, 0.0)
    step = jax.jit(local_rule.step, static_argnums=0)
    rng = np.random.default_rng(0)
    for number in range(3):
        x, y = rng.choice([-1, 1], (23, 40)), rng.integers(0, 3, 23).astype(np.int32)
        where = rng.random(23) < 0.8
        hidden = [np.asarray(p.hidden[0], np.int64) for p in params]
        classifiers = [bep.bits.unpack(p.classifier, num_bits=h.shape[0]) for p, h in zip(params, hidden, strict=True)]
        margins = [int(layer.margin) for layer in limits]
        wanted = reference.local_rule_step(hidden, classifiers, x, y, margins, [5, 5], where)
        new, opt_state, stats = step(MLP, limits, params, opt_state, bep.bits.pack(x), jnp.asarray(y), where)
        for layer in range(2):
            np.testing.assert_array_equal(np.asarray(new[layer].hidden[0]) - hidden[layer], wanted["updates"][layer])
            np.testing.assert_array_equal(new[layer].classifier, params[layer].classifier)
            assert int(stats[layer].active) == wanted["counts"]["active"][layer] > 0
            assert int(stats[layer].winners[0]) == wanted["counts"]["winners"][layer]
        assert int(stats[-1].correct) == wanted["counts"]["correct"]
        scores = wanted["logits"][-1]
        np.testing.assert_array_equal(learner.predict(params, bep.bits.pack(x)), scores.argmax(axis=1))
        assert any((wanted["updates"][layer] != 0).any() for layer in range(2)), number
        params = new


def test_local_rule_draws_its_own_classifiers():
    params, _ = local_rule.LocalRuleLearner(MLP).init(local_rule.thresholds(MLP, RULE), *KEYS)
    one, other = (bep.bits.unpack(p.classifier, num_bits=15)[:, :15] for p in params)
    assert (np.asarray(one) != np.asarray(other)).any()


@pytest.mark.parametrize(
    ("model", "group_size", "trained"),
    [
        (bep.conv(image_shape=(8, 5), filters=((7, 3, 1),), widths=(15, 30), num_classes=3), (5, 6), (0, 1, 1)),
        (RNN, 5, (0, 0, 1)),
    ],
    ids=["conv", "rnn"],
)
def test_random_features_freeze_what_is_not_the_last_layer_or_dense(model, group_size, trained):
    learner = random_features.RandomFeaturesLearner(model)
    rule = bep.Rule(margin=0.25, gate=0.3, group_size=group_size)
    limits = bep.thresholds(random_features.trained_part(model), rule)
    params, state = learner.init(limits, *KEYS)
    data = make_data(RNN if model.recurrent else MLP)
    step = jax.jit(learner.step)
    new, _, _ = step(limits, params, state, data.train_x[:9], data.train_y[:9], jnp.ones(9, bool))
    changed = [bool((a != b).any()) for a, b in zip(params.hidden, new.hidden, strict=True)]
    assert changed == list(map(bool, trained))


def test_random_features_have_the_settings_of_the_whole_model():
    model = bep.conv(image_shape=(8, 5), filters=((7, 3, 1),), widths=(101, 30), num_classes=3)
    whole, upper = bep.thresholds(model, bep.Rule()), random_features.thresholds(model, bep.Rule())
    assert whole.group_size.tolist() == [7, 11, 6] and upper.group_size.tolist() == [11, 6]
    assert whole.gate.tolist()[1:] == upper.gate.tolist()
    assert random_features.thresholds(model, bep.Rule(group_size=(1, 5))).group_size.tolist() == [1, 5]
    limits_of(random_features.trained_part(model), upper)  # a size that does not divide is one of these
    with pytest.raises(ValueError, match="must divide the width 30"):
        limits_of(random_features.trained_part(model), upper._replace(group_size=jnp.array([11, 7])))


def test_random_features_train_the_last_layer_alone():
    data = make_data(MLP)
    result = random_features.fit(MLP, RULE, data, **OPTIONS)
    learner = random_features.RandomFeaturesLearner(MLP)
    limits = bep.thresholds(random_features.trained_part(MLP), RULE)
    for row, seed in enumerate(OPTIONS["seeds"]):
        state_key, _ = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
        init_key, draw_key, _ = jax.random.split(state_key, 3)
        drawn, _ = learner.init(limits, init_key, draw_key)
        for before, after in zip(drawn.hidden[:-1], result.params.hidden[:-1], strict=True):
            np.testing.assert_array_equal(before, after[row])
        assert (drawn.hidden[-1] != result.params.hidden[-1][row]).any()


TRAIN = {
    "local-rule": lambda data, **options: local_rule.fit(MLP, RULE, data, **options),
    "qat-batchnorm": lambda data, **options: qat.fit(MLP, data, batch_norm=True, **options),
}


@pytest.mark.parametrize("train", TRAIN.values(), ids=TRAIN.keys())
def test_many_seeds_are_a_loop_over_seeds(train):
    data = make_data(MLP)
    many = train(data, **OPTIONS)
    one = train(data, **OPTIONS | {"seeds": [5]})
    if isinstance(many.params, qat.Variables):  # floats may be added up in another order
        np.testing.assert_allclose(many.history["loss"][1], one.history["loss"][0], rtol=1e-4)
        assert many.history.keys() == {"train_accuracy", "validation_accuracy", "loss"}
    else:
        assert_same_row(many, 1, one)


@pytest.mark.parametrize("train", TRAIN.values(), ids=TRAIN.keys())
def test_resumed_equals_uninterrupted(train, tmp_path):
    data = make_data(MLP)
    train(data, **OPTIONS | {"epochs": 1}, checkpoint_dir=tmp_path)
    resumed, whole = train(data, **OPTIONS, checkpoint_dir=tmp_path, resume=True), train(data, **OPTIONS)
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        assert (a == b).all() if hasattr(a, "shape") else a == b


def test_baselines_learn():
    data = make_data(MLP)  # as above: the same programs
    options = OPTIONS | {"epochs": 40}
    for result in (
        local_rule.fit(MLP, RULE, data, **options),
        random_features.fit(MLP, RULE, data, **options),
        qat.fit(MLP, data, batch_norm=True, learning_rate=[1e-2, 3e-3], **options),
    ):
        assert (result.test_accuracy > 0.6).all(), result.test_accuracy


def test_qat_recurrent_fit_with_batch_norm():
    result = qat.fit(RNN, make_data(RNN), batch_norm=True, **OPTIONS)
    assert result.params.statistics[0].mean.shape == (2, 4, 15)
    assert np.isfinite(result.history["loss"]).all()


def test_group_sizes_of_the_local_rule():
    assert [local_rule.usual_group_size(w) for w in (35, 75, 135, 255, 525, 1035)] == [35, 75, 45, 85, 105, 115]
    assert [local_rule.usual_group_size(w) for w in (1, 7, 100)] == [1, 1, 20]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: local_rule.fit(RNN, RULE, data), r"local_rule: .*no recurrent form"),
        (lambda data: local_rule.fit(MLP, bep.Rule(group_size=(5,)), data), r"one entry for each of 2 layers"),
        (
            lambda data: random_features.fit(bep.mlp(num_inputs=40, widths=(15,), num_classes=3), RULE, data),
            r"random_features: .*at least two layers",
        ),
        (lambda data: qat.fit(MLP, data, learning_rate=0.0), r"fit: learning_rate must be positive"),
        (lambda data: qat.fit(MLP, data, learning_rate=[0.1, 0.1], seeds=3), r"leading axis of 2, for 3 seeds"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(make_data(MLP))
