"""bep_jax.baselines.qat: straight-through gradients, clipping, batch normalisation, learning, vmap."""

import cases
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import bep_jax as bep
from bep_jax.baselines import qat

MLP = bep.mlp(num_inputs=33, widths=(15, 31), num_classes=3)
RNN = bep.rnn(num_inputs=5, state_width=15, output_width=31, num_classes=3)
CONV = bep.conv(image_shape=(4, 5), channels=2, filters=((7, (3, 2), (1, 2), (1, 0)),), widths=(15,), num_classes=3)
STEPS = 4
step = jax.jit(qat.step, static_argnums=(0, 1))  # one program instead of an operation at a time: much faster
SGD = optax.sgd(1.0)
KINDS = [(MLP, False), (MLP, True), (RNN, False), (RNN, True)]
KIND_NAMES = ["mlp", "mlp-norm", "rnn", "rnn-norm"]
WITH_CONV, WITH_CONV_NAMES = [*KINDS, (CONV, True)], [*KIND_NAMES, "conv-norm"]
# Where cells and normalisation are not the matter, one with each of them is enough.
UNLIKE, UNLIKE_NAMES = [KINDS[0], KINDS[3]], [KIND_NAMES[0], KIND_NAMES[3]]


def make(model, batch_norm, key=0):
    variables = qat.init(jax.random.key(key), model, batch_norm=batch_norm, num_steps=STEPS)
    # A shift keeps pre-activations that equal their mean, which small batches have, off the step of the sign.
    norms = tuple(n._replace(shift=jnp.linspace(-0.31, 0.37, len(n.shift))) for n in variables.trained.norms)
    return variables._replace(trained=variables.trained._replace(norms=norms))


def signs(model, batch, seed=0):
    shape = (batch, STEPS, model.num_inputs) if model.recurrent else (batch, model.num_inputs)
    return np.random.default_rng(seed).choice([-1, 1], shape)


def data(model, batch=7):
    return bep.bits.pack(signs(model, batch)), jnp.arange(batch, dtype=jnp.int32) % model.num_classes


def gradients(model, variables, x, y, where=None):
    """The gradient that `step` gives to its optimizer: with sgd of rate 1, the change of weights that are not cut."""
    small = jax.tree.map(lambda w: w * 0.5, variables.trained.latent)
    variables = variables._replace(trained=variables.trained._replace(latent=small))
    new, _, stats = step(model, SGD, variables, SGD.init(variables.trained), x, y, where)
    change = jax.tree.map(lambda old, new: np.asarray(old - new), variables.trained, new.trained)
    return change, variables, new.statistics, stats


def test_sign_is_one_at_zero_and_passes_gradients_up_to_one():
    v = jnp.array([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1.01], jnp.float32)
    assert qat.sign(v).tolist() == [-1, -1, 1, 1, 1, 1, 1]
    assert jax.vmap(jax.grad(qat.sign))(v).tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_gradient_of_a_tiny_network_by_hand():
    model = bep.mlp(num_inputs=2, widths=(1,), num_classes=2)
    latent = (jnp.array([[0.5, -0.25]], jnp.float32), jnp.array([[0.1], [-0.1]], jnp.float32))
    variables = qat.init(jax.random.key(0), model)
    variables = variables._replace(trained=variables.trained._replace(latent=latent))
    sgd = optax.sgd(0.1)
    # Inputs (+1, +1): z = (1 - 1) / sqrt(2) = 0, a = +1, scores (1, -1), softmax p = 1 / (1 + e^-2) of class 0.
    new, _, stats = step(
        model, sgd, variables, sgd.init(variables.trained), bep.bits.pack([[1, 1]]), jnp.array([1], jnp.int32)
    )
    p = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(stats.loss, -np.log(1 - p), rtol=1e-6)
    assert int(stats.correct) == 0
    # d loss / d scores = (p, -p); by a = 1 to the classifier, by its signs (1, -1) and the gate 1 to z.
    np.testing.assert_allclose(new.trained.latent[1], latent[1] - 0.1 * np.array([[p], [-p]]), rtol=1e-6)
    through = 2 * p / np.sqrt(2.0)
    np.testing.assert_allclose(new.trained.latent[0], latent[0] - 0.1 * through * np.array([[1, 1]]), rtol=1e-6)
    # Inputs (+1, -1): z = 2 / sqrt(2) > 1, so nothing passes.
    new, _, _ = step(
        model, sgd, variables, sgd.init(variables.trained), bep.bits.pack([[1, -1]]), jnp.array([1], jnp.int32)
    )
    chex.assert_trees_all_equal(new.trained.latent[0], latent[0])


def reference(model, variables, x):
    """Scores in NumPy, without batch normalisation."""
    weights = [np.where(np.asarray(w) >= 0, 1.0, -1.0) for w in variables.trained.latent]
    if model.recurrent:
        wx, ws, *rest = weights
        a = np.ones((x.shape[0], model.widths[0]))
        for t in range(x.shape[1]):
            a = np.where(x[:, t] @ wx.T + a @ ws.T >= 0, 1.0, -1.0)
    elif isinstance(model.layers[0], bep.Convolution):
        w, *rest = weights
        layer = model.layers[0]
        cut = cases.reference.conv_patches(x[:, : layer.grid.num_bits], *cases.convolution(layer)[:5])
        a = np.where(cut @ w.T >= 0, 1.0, -1.0).reshape(x.shape[0], -1)
        a = np.concatenate([a, x[:, layer.grid.num_bits :]], axis=1)
    else:
        a, rest = x, weights
    for w in rest[:-1]:
        a = np.where(a @ w.T >= 0, 1.0, -1.0)
    return a @ rest[-1].T / np.sqrt(model.widths[-1])


PAST = bep.conv(image_shape=(5,), channels=2, filters=((7, 3, 1),), widths=(15,), num_classes=3, extra=6)


@pytest.mark.parametrize("model", [MLP, RNN, CONV, PAST], ids=["mlp", "rnn", "conv", "past"])
@pytest.mark.parametrize("scaled", [True, False])
def test_logits_match_numpy(model, scaled):
    variables = qat.init(jax.random.key(3), model, scaled=scaled)
    x = signs(model, 9)
    np.testing.assert_allclose(
        qat.logits(model, variables, bep.bits.pack(x)), reference(model, variables, x), rtol=1e-5
    )


@pytest.mark.parametrize("batch_norm", [False, True])
def test_recurrent_gradient_is_that_of_the_unrolled_network(batch_norm):
    variables, (x, y) = make(RNN, batch_norm), data(RNN)
    got, variables, *_ = gradients(RNN, variables, x, y)
    scales, a = variables.scales, jnp.asarray(signs(RNN, 7), jnp.float32)

    def norm(z, i, trained):
        if not batch_norm:
            return z
        z = (z - z.mean(0)[None]) / jnp.sqrt(z.var(0)[None] + 1e-5)
        return z * trained.norms[i].gain[None] + trained.norms[i].shift[None]

    def loss(trained):
        wx, ws, wy, wc = (qat.sign(w) for w in trained.latent)
        s = jnp.ones((7, 15), jnp.float32)
        for t in range(STEPS):
            s = qat.sign(norm((a[:, t] @ wx.T + s @ ws.T) * scales[0], 0, trained))
        s = qat.sign(norm(s @ wy.T * scales[1], 1, trained))
        scores = norm(s @ wc.T * scales[2], 2, trained)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], axis=1))

    chex.assert_trees_all_close(got, jax.jit(jax.grad(loss))(variables.trained), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("model", "batch_norm"), UNLIKE, ids=UNLIKE_NAMES)
def test_step_keeps_structure_and_clips(model, batch_norm):
    variables, (x, y) = make(model, batch_norm), data(model)
    adam = qat.make_optimizer(0.9)
    state = (variables, adam.init(variables.trained))
    for _ in range(3):
        *new, stats = step(model, adam, *state, x, y)
        chex.assert_trees_all_equal_shapes_and_dtypes(tuple(new), state)
        state = tuple(new)
    latent = jax.tree.leaves(state[0].trained.latent)
    assert all(float(jnp.abs(w).max()) <= 1 for w in latent)
    assert any(float(jnp.abs(w).max()) == 1 for w in latent)
    assert stats.loss.dtype == jnp.float32 and stats.correct.dtype == jnp.int32
    chex.assert_tree_all_finite(state[0])


@pytest.mark.parametrize(("model", "batch_norm"), WITH_CONV, ids=WITH_CONV_NAMES)
def test_where_is_the_smaller_batch(model, batch_norm):
    variables, (x, y) = make(model, batch_norm), data(model)
    change, _, *masked = gradients(model, variables, x, y, jnp.arange(7) < 5)
    expected, _, *small = gradients(model, variables, x[:5], y[:5])
    chex.assert_trees_all_close(masked, small, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(change, expected, rtol=1e-3, atol=1e-5)
    # Nobody takes part: nothing moves.
    none, _, statistics, _ = gradients(model, variables, x, y, jnp.zeros(7, bool))
    chex.assert_trees_all_equal(none, jax.tree.map(np.zeros_like, none))
    chex.assert_trees_all_equal(statistics, variables.statistics)


def test_batch_statistics_and_inference():
    variables, (x, y) = make(RNN, True), data(RNN)
    adam = qat.make_optimizer(0.0)
    opt_state = adam.init(variables.trained)
    assert variables.statistics[0].mean.shape == (STEPS, 15)
    before = qat.logits(RNN, variables, x)
    for _ in range(200):
        variables, opt_state, stats = step(RNN, adam, variables, opt_state, x, y)
    # The running averages have become this batch's statistics, so inference repeats training.
    scores = qat.logits(RNN, variables, x)
    losses = -jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], axis=1)
    np.testing.assert_allclose(losses.mean(), stats.loss, rtol=1e-3)
    assert not np.allclose(before, scores)


@pytest.mark.parametrize(("model", "batch_norm"), UNLIKE, ids=UNLIKE_NAMES)
def test_learns_the_majority_of_five_inputs(model, batch_norm):
    a = signs(model, 256, seed=1)
    y = jnp.asarray((a.reshape(256, -1)[:, -5:].sum(1) > 0).astype(np.int32))
    x = bep.bits.pack(a)
    adam, variables = qat.make_optimizer(1e-2), make(model, batch_norm)

    @jax.jit
    def train(state):
        def body(state, _):
            *state, stats = qat.step(model, adam, *state, x, y)
            return tuple(state), stats.correct

        return jax.lax.scan(body, state, None, length=150)

    (variables, _), correct = train((variables, adam.init(variables.trained)))
    assert int(correct[-10:].max()) > 0.9 * 256
    accuracy = float((qat.logits(model, variables, x).argmax(1) == y).mean())
    assert accuracy > 0.75


@pytest.mark.parametrize(("model", "batch_norm"), UNLIKE, ids=UNLIKE_NAMES)
def test_vmap_over_seeds_and_learning_rates_is_a_loop(model, batch_norm):
    x, y = data(model)
    keys, rates = jax.random.split(jax.random.key(0), 3), jnp.array([1e-3, 1e-2, 1e-1], jnp.float32)

    def run(key, rate):
        adam = qat.make_optimizer(rate)
        variables = qat.init(key, model, batch_norm=batch_norm, num_steps=STEPS)
        return qat.step(model, adam, variables, adam.init(variables.trained), x, y)

    mapped, single = jax.jit(jax.vmap(run))(keys, rates), jax.jit(run)
    loop = [single(key, rate) for key, rate in zip(keys, rates, strict=True)]
    chex.assert_trees_all_close(mapped, jax.tree.map(lambda *a: jnp.stack(a), *loop), rtol=1e-3, atol=1e-5)
    assert len({float(r) for r in mapped[1].hyperparams["learning_rate"]}) == 3


def test_labels_outside_add_nothing_under_jit():
    variables, (x, y) = make(MLP, False), data(MLP)
    new, _, stats = step(MLP, SGD, variables, SGD.init(variables.trained), x, jnp.full_like(y, 3))
    chex.assert_trees_all_equal(new, variables)
    assert float(stats.loss) == 0 and int(stats.correct) == 0


def test_bad_input():
    variables, (x, y) = make(MLP, False), data(MLP)
    adam = qat.make_optimizer()
    opt_state = adam.init(variables.trained)
    with pytest.raises(TypeError, match="init: wanted a Model"):
        qat.init(jax.random.key(0), "mlp")
    with pytest.raises(ValueError, match="init: batch_norm of a recurrent model needs num_steps"):
        qat.init(jax.random.key(0), RNN, batch_norm=True)
    with pytest.raises(TypeError, match="logits: x must be packed"):
        qat.logits(MLP, variables, x.astype(jnp.int32))
    with pytest.raises(ValueError, match=r"logits: x must be \[B, W\]"):
        qat.logits(MLP, variables, x[:, :1])
    with pytest.raises(ValueError, match="logits: variables do not fit"):
        qat.logits(RNN, variables, x)
    with pytest.raises(ValueError, match="made for num_steps=4, x has 3"):
        qat.logits(RNN, make(RNN, True), data(RNN)[0][:, :3])
    with pytest.raises(ValueError, match=r"step: labels must be in 0..2, got 0..3"):
        qat.step(MLP, adam, variables, opt_state, x, y.at[0].set(3))
    with pytest.raises(ValueError, match=r"step: y must be \[B\]"):
        qat.step(MLP, adam, variables, opt_state, x, y[:2])
    with pytest.raises(TypeError, match="step: y must be an array of integer labels"):
        qat.step(MLP, adam, variables, opt_state, x, y.astype(jnp.float32))
    with pytest.raises(ValueError, match="step: where must be bool"):
        qat.step(MLP, adam, variables, opt_state, x, y, jnp.ones(3, bool))
