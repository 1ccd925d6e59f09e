"""A few of the calls, files and command lines of `fuzz`; ``cd tests; python -m fuzz calls 200`` runs many."""

import contextlib
import io
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fuzz.calls import Basics, draw_call, functions
from fuzz.commands import command, draw_command
from fuzz.files import formats, spoil
from fuzz.judge import judged
from fuzz.samples import Files

import bep_jax as bep
from bep_jax.baselines import local_rule, qat, random_features
from bep_jax.training import loop


@pytest.fixture(autouse=True)
def a_session_of_a_user(tmp_path, monkeypatch):
    """JAX's own promotion, a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield


TRAIN = re.compile("fit|tune|BEP|datasets.load$")  # or compile for long: a few of these are in tests of their own


def test_calls():
    ended = {}
    for target in functions():
        for seed in range(0 if TRAIN.search(target.name) else 3):
            outcome = judged(lambda target=target, seed=seed: target.call(**draw_call(target, seed)[0]))
            assert outcome.ok, (target.name, seed, outcome.what)
            ended.setdefault(outcome.what == "result", []).append(target.name)
    assert len(ended[True]) > 5 and len(ended[False]) > 60, "some calls work, most do not"


def test_files():
    for one in formats():
        for seed in range(1 if one.name.startswith("run's") else 0 if one.name.startswith(("search", "table")) else 6):
            outcome = judged(spoil(one, seed))
            assert outcome.ok, (one.name, seed, outcome.what)


def test_command_lines():
    files = Files()
    for seed in range(6):
        args = draw_command(files, seed)
        outcome = judged(lambda args=args: command(args))
        assert outcome.ok, (args, outcome.what)


@pytest.fixture(scope="module")
def basics():
    return Basics()


# Of each kind that long runs found, variants that they did not draw.
FOUND = {
    # A flag that is neither true nor false.
    "mirror must be True or False": lambda b: bep.fit(b.model, b.rule, b.data, mirror="no"),
    "fit: progress must be True or False": lambda b: bep.fit(b.model, b.rule, b.data, progress=np.ones(2, bool)),
    "tune: progress must be True or False": lambda b: bep.tune(b.own, minutes=0, progress="off"),
    "to_c: ensemble must be True or False": lambda b: bep.to_c(b.model, b.params, ensemble="yes"),
    "save: hidden must be True or False": lambda b: bep.save("x", b.model, b.params, hidden="no"),
    "init: scaled must be True or False": lambda b: qat.init(jax.random.key(0), b.model, scaled="no"),
    # An array where a word is wanted.
    "fit: mesh must be a jax": lambda b: bep.fit(b.model, b.rule, b.data, mesh=np.array(["auto", "auto"])),
    "fit: class_weight must be": lambda b: bep.fit(b.model, b.rule, b.data, class_weight=np.array(["balanced"] * 2)),
    # Lists of several lengths, where one number or several are wanted.
    "Model.init: scale must be": lambda b: b.model.init(jax.random.key(0), [[8], [8, 8]]),
    "fit: learning_rate must be": lambda b: qat.fit(b.model, b.data, learning_rate=[[1e-3], [1e-3, 1e-3]]),
    "tied_winners: bound must be": lambda b: bep.dense.tied_winners(b.z, b.active, jnp.int32(5), bound=[[1], [1, 1]]),
    # Numbers out of any range, and NaN where a scale or a rate is wanted.
    "Model.init: scale must be a number of this world": lambda b: b.model.init(jax.random.key(0), 10**400),
    "rescale: error_rate must be": lambda b: bep.rescale(b.opt_state, 10**400),
    "local_rule: scale must be pos": lambda b: local_rule.fit(b.model, b.rule, b.data, scale=np.nan),
    "random_features: scale must be pos": lambda b: random_features.fit(
        bep.mlp(num_inputs=6, widths=(15, 15), num_classes=3), b.rule, b.data, scale=0.0
    ),
    "make_optimizer: learning_rate must be": lambda b: qat.make_optimizer(1e300),
    "fit: epochs must be at most": lambda b: bep.fit(b.model, b.rule, b.data, epochs=2**31),
    "seeds must be": lambda b: loop.per_seed(b.limits, False, 10**9),
    "scores must be finite": lambda b: bep.fit_temperature([[np.inf, 0.0]], [0]),
    # Parts of a state, of limits or of variables that do not belong together.
    "rescale: base must be": lambda b: bep.rescale(b.opt_state._replace(base=b.opt_state.base[0]), 0.5),
    "rescale: draw must have": lambda b: bep.rescale(b.opt_state._replace(draw=jnp.uint32(1)), 0.5),
    "step: key must be": lambda b: bep.step(
        b.model, b.rule, b.params, b.opt_state._replace(key=jax.random.split(jax.random.key(0), 2)), b.x, b.y
    ),
    "fit: opt_state: saturation must be among": lambda b: bep.fit(
        b.model, b.rule, b.data, params=b.params, opt_state=b.opt_state._replace(saturation=jnp.int32(9))
    ),
    "to_c: opt_state: base must hold": lambda b: bep.to_c(
        b.model, b.params, rule=b.rule, opt_state=b.opt_state._replace(base=~b.opt_state.base)
    ),
    "limits: saturation .* another leading axis": lambda b: bep.fit(
        b.model, b.limits._replace(saturation=jnp.full(2, 127, jnp.int32)), b.data
    ),
    "local_rule: rule must hold limits": lambda b: local_rule.fit(b.model, [b.limits, b.limits], b.data),
    "logits: variables do not fit": lambda b: qat.logits(b.model, b.floats._replace(scales=()), b.x),
    "step: opt_state do not fit": lambda b: qat.step(b.model, qat.make_optimizer(), b.floats, (), b.x, b.y),
    "products.outer: inputs must be": lambda b: bep.kernels.products.outer(b.x, b.x, b.x),
}


@pytest.mark.parametrize("message", FOUND)
def test_what_was_found(message, basics):
    with pytest.raises((TypeError, ValueError), match=message):
        FOUND[message](basics)


def test_numbers_of_few_bits_count_on():
    few = np.int8
    data = bep.datasets.load("random-prototypes", num_inputs=few(40), num_classes=few(3), num_train=few(20), num_test=9)
    assert data.train_x.shape == (20, 2) and type(data.num_inputs) is int


def test_what_is_judged():
    def fail(error):
        raise error

    for error, ok in (
        (ValueError("fit: epochs must be at least 1, got 0."), True),
        (FileNotFoundError("load: there is no file x."), True),
        (TypeError("f() missing 1 required positional argument: 'x'"), True),
        (ValueError("math domain error"), False),
        (KeyError("x"), False),
        (MemoryError(), False),
    ):
        assert judged(lambda error=error: fail(error)).ok is ok
