"""The reference itself, on cases small enough to work out by hand."""

import numpy as np
import pytest
import reference


def test_sign_of_zero_is_plus_one():
    assert reference.sign([-2, -1, 0, 1]).tolist() == [-1, -1, 1, 1]


def test_thresholds_are_guarded_against_decimals():
    assert 0.29 * 100 < 29 and 0.07 * 100 > 7  # what the guards are for
    assert reference.gate_threshold(0.29, 100) == 29
    assert reference.margin_threshold(0.07, 100) == 7
    assert reference.margin_threshold(0.5, 525) == 263
    assert reference.gate_threshold(0.05, 525) == 26
    limits = reference.thresholds(0.5, 0.2, 0.5, (784, 525), 75)
    assert limits["margin"] == 38
    assert limits["gate"] == [156, 105]


def test_reinforcement_threshold():
    assert reference.reinforcement_threshold(0.5, 100, error=0.0) == 0
    assert reference.reinforcement_threshold(0.0, 100) == 0
    assert reference.reinforcement_threshold(1.0, 1, error=4.0) == 2**32 - 1
    full = reference.reinforcement_threshold(1.0, 100)
    assert full / 2**32 == pytest.approx(0.0797884560802865)
    assert reference.reinforcement_threshold(1.0, 100, error=0.25) == full // 2


MLP_HIDDEN = [np.array([[1, 3, 1], [-1, 1, 5]]), np.array([[1, 1], [1, -1]])]
MLP_CLASSIFIER = np.array([[1, 1], [-1, 1]])
MLP_X = np.array([[1, 1, -1]])


def test_mlp_step_by_hand():
    step = reference.mlp_step(MLP_HIDDEN, MLP_CLASSIFIER, MLP_X, [1], margin=1, gate=[1, 1], group_sizes=[2, 2])
    assert step["z"][0].tolist() == [[1, -1]]
    assert step["z"][1].tolist() == [[0, 2]]
    assert [a.tolist() for a in step["a"]] == [[[1, 1, -1]], [[1, -1]], [[1, 1]]]
    assert step["logits"].tolist() == [[2, 0]]
    assert step["desired"][1].tolist() == [[-1, 1]]
    assert step["gates"][0] is None
    assert step["gates"][1].tolist() == [[1, 0]]
    assert step["desired"][0].tolist() == [[-1, -1]]
    # z = 0 with a* = -1 is wrong in a dense layer.
    assert [w.tolist() for w in step["winners"]] == [[[1, 0]], [[1, 0]]]
    assert step["updates"][0].tolist() == [[-2, -2, 2], [0, 0, 0]]
    assert step["updates"][1].tolist() == [[-2, 2], [0, 0]]
    assert step["counts"] == {"active": 1, "correct": 0, "winners": [1, 1]}


def test_a_gate_that_closes_everything_leaves_the_update_alone():
    step = reference.mlp_step(MLP_HIDDEN, MLP_CLASSIFIER, MLP_X, [1], margin=1, gate=[-1, -1], group_sizes=[2, 2])
    assert step["desired"][0].tolist() == [[1, 1]]  # sign(0)
    assert step["updates"][1].tolist() == [[-2, 2], [0, 0]]


@pytest.mark.parametrize(("margin", "active"), [(2, 0), (3, 1)])
def test_the_trigger_is_strict(margin, active):
    step = reference.mlp_step(MLP_HIDDEN, MLP_CLASSIFIER, MLP_X, [0], margin, [1, 1], [1, 1])
    assert step["counts"]["active"] == active
    assert step["counts"]["correct"] == 1


def test_who_takes_no_part():
    x = np.repeat(MLP_X, 5, axis=0)
    y = [1, -1, 2, 1, 0]
    where = [True, True, True, False, False]
    step = reference.mlp_step(MLP_HIDDEN, MLP_CLASSIFIER, x, y, 1, [1, 1], [2, 2], where)
    alone = reference.mlp_step(MLP_HIDDEN, MLP_CLASSIFIER, MLP_X, [1], 1, [1, 1], [2, 2])
    assert step["active"].tolist() == [True, False, False, False, False]
    assert step["counts"] == alone["counts"]
    for update, expected in zip(step["updates"], alone["updates"], strict=True):
        assert np.array_equal(update, expected)


def test_winners_take_the_smallest_magnitude_then_the_lowest_index():
    score = np.array([[5, -3, 3, 0, 7, 2], [5, -3, 3, 0, 7, 2]])
    wrong = np.array([[True, True, True, False, False, False]] * 2)
    active = np.array([True, False])
    assert reference.pick_winners(wrong, score, active, 3).tolist() == [[0, 1, 0, 0, 0, 0], [0] * 6]
    assert reference.pick_winners(wrong, score, active, 1).tolist() == [[1, 1, 1, 0, 0, 0], [0] * 6]
    assert reference.pick_winners(wrong, score, active, 2).tolist() == [[0, 1, 1, 0, 0, 0], [0] * 6]


RNN_HIDDEN = (np.array([[1], [1]]), np.array([[1, -1], [1, 1]]), np.array([[1, 1], [1, -1]]))
RNN_CLASSIFIER = np.array([[1, 1], [-1, -1]])
RNN_X = np.array([[[1], [-1]]])


def test_rnn_step_by_hand():
    step = reference.rnn_step(RNN_HIDDEN, RNN_CLASSIFIER, RNN_X, [1], margin=1, gate=[0, 1, 1], group_sizes=[2, 2])
    assert step["z"][0].tolist() == [[[1, 3], [-1, 1]]]
    assert step["a"][0].tolist() == [[[1, 1], [1, 1], [-1, 1]]]
    assert step["z"][1].tolist() == [[0, -2]]
    assert step["a"][1].tolist() == [[1, -1]]
    assert step["logits"].tolist() == [[0, 0]]
    assert step["gates"][1].tolist() == [[1, 0]]
    assert step["gates"][0][0, 1].tolist() == [1, 1]
    assert step["desired"][0].tolist() == [[[-1, 1], [-1, -1]]]
    # A summed stability of 0 is not wrong, though z_y = 0 with s*_y = -1 is.
    assert step["stability"].tolist() == [[0, 2]]
    assert [w.tolist() for w in step["winners"]] == [[[0, 0]], [[1, 0]]]
    assert [u.tolist() for u in step["updates"]] == [[[0], [0]], [[0, 0], [0, 0]], [[2, -2], [0, 0]]]
    assert step["counts"] == {"active": 1, "correct": 0, "winners": [0, 1]}


def test_rnn_horizon_by_hand():
    step = reference.rnn_step(RNN_HIDDEN, RNN_CLASSIFIER, RNN_X, [1], 1, [0, 1, 1], [2, 2], horizon=1)
    assert step["stability"].tolist() == [[1, -1]]
    assert step["winners"][0].tolist() == [[0, 1]]
    assert [u.tolist() for u in step["updates"]] == [[[0], [2]], [[0, 0], [-2, -2]], [[2, -2], [0, 0]]]


def test_rnn_gated_update_by_hand():
    # z of the state is [1, 3] and [-1, 1], desired [-1, 1] and [-1, -1]: the first neuron's sum is 0, not wrong, the
    # second's is 2. At the last step alone the second is wrong, with |z| = 1.
    def step(gate):
        limits = [0, gate, 1]
        return reference.rnn_step(RNN_HIDDEN, RNN_CLASSIFIER, RNN_X, [1], 1, limits, [2, 2], 1, None, True)

    assert [u.tolist() for u in step(1)["updates"]] == [[[0], [2]], [[0, 0], [-2, -2]], [[2, -2], [0, 0]]]
    shut = step(0)
    assert shut["winners"][0].tolist() == [[0, 1]]
    assert [u.tolist() for u in shut["updates"]] == [[[0], [0]], [[0, 0], [0, 0]], [[2, -2], [0, 0]]]


@pytest.mark.parametrize("horizon", [2, 3, 99])
def test_a_horizon_of_at_least_all_steps_means_all(horizon):
    everything = reference.rnn_step(RNN_HIDDEN, RNN_CLASSIFIER, RNN_X, [1], 1, [0, 1, 1], [1, 1])
    step = reference.rnn_step(RNN_HIDDEN, RNN_CLASSIFIER, RNN_X, [1], 1, [0, 1, 1], [1, 1], horizon)
    for update, expected in zip(step["updates"], everything["updates"], strict=True):
        assert np.array_equal(update, expected)


def test_rnn_of_one_time_step_is_an_mlp_on_input_and_state():
    # An odd fan-in keeps z off 0, the one place where the two notions of a wrong neuron differ.
    rng = np.random.default_rng(1)
    num_inputs, state, output, batch = 6, 9, 8, 30
    hidden = [2 * rng.integers(-3, 3, shape) + 1 for shape in ((state, num_inputs), (state, state), (output, state))]
    classifier, x = (reference.sign(rng.normal(size=shape)) for shape in ((3, output), (batch, num_inputs)))
    y = rng.integers(0, 3, batch)
    rnn = reference.rnn_step(hidden, classifier, x[:, None], y, 5, [0, 2, 3], [3, 4])
    joined = [np.concatenate(hidden[:2], axis=1), hidden[2]]
    mlp = reference.mlp_step(joined, classifier, np.concatenate([x, np.ones((batch, state))], 1), y, 5, [0, 3], [3, 4])
    assert rnn["counts"] == mlp["counts"] and rnn["counts"]["winners"][0] > 0
    assert np.array_equal(np.concatenate(rnn["updates"][:2], axis=1), mlp["updates"][0])
    assert np.array_equal(rnn["updates"][2], mlp["updates"][1])


def test_local_rule_with_one_layer_is_the_mlp_step():
    rng = np.random.default_rng(0)
    hidden = [2 * rng.integers(-5, 5, (6, 7)) + 1]
    classifier, x = (reference.sign(rng.normal(size=shape)) for shape in ((3, 6), (20, 7)))
    y = rng.integers(-1, 4, 20)
    where = rng.random(20) < 0.8
    local = reference.local_rule_step(hidden, [classifier], x, y, [3], [3], where)
    bep = reference.mlp_step(hidden, classifier, x, y, 3, [0], [3], where)
    assert np.array_equal(local["active"][0], bep["active"])
    assert np.array_equal(local["updates"][0], bep["updates"][0])
    assert local["counts"]["correct"] == bep["counts"]["correct"]


def test_local_rule_gives_every_layer_its_own_trigger():
    classifiers = [np.array([[-1, 1], [1, -1]]), MLP_CLASSIFIER]
    step = reference.local_rule_step(MLP_HIDDEN, classifiers, MLP_X, [1], [2, 2], [2, 2])
    assert [logits.tolist() for logits in step["logits"]] == [[[-2, 2]], [[2, 0]]]
    assert [active.tolist() for active in step["active"]] == [[False], [True]]
    assert step["updates"][0].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert step["updates"][1].tolist() == [[-2, 2], [0, 0]]
    assert step["counts"] == {"active": [0, 1], "correct": 0, "winners": [0, 1]}


def test_hidden_weights():
    assert reference.initial_hidden([-2.5, -0.1, 0.0, 1.9, 2.0, 64.7]).tolist() == [-3, -1, 1, 1, 3, 65]
    assert reference.reinforce([3, -3, 0, 3, -3], np.array([0, 9, 9, 10, 11], np.uint32), 10).tolist() == [
        5,
        -5,
        2,
        3,
        -3,
    ]
    assert reference.saturate([-999, -128, -127, 127, 128], 8).tolist() == [-127, -127, -127, 127, 127]
    assert reference.saturate([-40000, 40000], 16).tolist() == [-32767, 32767]


def test_group_sizes_grow_by_divisors():
    sizes = [1]
    while sizes[-1] < 525:
        sizes.append(reference.next_group_size(525, sizes[-1]))
    assert sizes == [1, 3, 5, 7, 15, 21, 25, 35, 75, 105, 175, 525]
    assert reference.next_group_size(525, 525) == 525


def test_group_size_schedule():
    schedule = reference.group_size_schedule((6, 4), (1, 2), [5, 5, 5, 6, 6, 6, 6, 6, 6, 6], patience=2)
    assert [sizes[0] for sizes in schedule] == [1, 1, 1, 2, 2, 2, 3, 3, 6, 6, 6]
    assert [sizes[1] for sizes in schedule] == [2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4]


def test_thermometer():
    train = np.array([[0.0, 9.0], [3.0, np.nan], [1.0, 7.0], [2.0, 8.0]])
    levels = reference.thermometer_thresholds(train, 2)
    assert levels == [[1.5, 2.5], [7.5, 8.5]]  # n = 4: indices 1, 2; n = 3: 1 and 2, which is the largest, so 0
    bits = reference.thermometer([[2.5, 8.0], [np.nan, np.inf]], levels)
    assert bits.tolist() == [[1, -1, 1, -1], [-1, -1, 1, 1]]
    series = train.reshape(2, 2, 2)  # samples, time, channels: the same values a channel
    assert reference.thermometer_thresholds(series, 2) == levels
    skewed = np.array([[0]] * 90 + [[1]] * 2 + [[5]] * 6 + [[9]] * 2)  # 0, 0, 0, then among 1 and 5: 5, then 1
    assert [reference.thermometer_thresholds(skewed, b) for b in (1, 2, 3)] == [
        [[0.5]],
        [[0.5, 7.0]],
        [[0.5, 3.0, 7.0]],
    ]
    assert reference.thermometer_thresholds(skewed, 3, integers=True) == [[0, 3, 7]]
    assert reference.thermometer_thresholds([[2.0], [np.nan], [2.0]], 3) == [[]]


def test_median_pools_everything():
    threshold = reference.median_threshold([[0.0, 1.0], [2.0, np.nan]])
    assert threshold == 1.5
    assert reference.median([[1.0, 1.5], [np.nan, 2.0]], threshold).tolist() == [[-1, -1], [-1, 1]]
    assert reference.median_threshold([[0, 1], [1, 1]]) == 0.5


def test_expansion():
    assert reference.expansion([[1, -1]], [[1, 1], [1, -1], [-1, 1]]).tolist() == [[1, 1, -1]]
