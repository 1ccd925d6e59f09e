"""A few of the calls, files and command lines of `fuzz`; ``cd tests; python -m fuzz calls 200`` runs many."""

import contextlib
import io
import re

import jax
import pytest
from fuzz.calls import draw_call, functions
from fuzz.commands import command, draw_command
from fuzz.files import formats, spoil
from fuzz.judge import judged
from fuzz.samples import Files


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
        for seed in range(1 if one.name.startswith("run's") else 0 if one.name.startswith("search") else 6):
            outcome = judged(spoil(one, seed))
            assert outcome.ok, (one.name, seed, outcome.what)


def test_command_lines():
    files = Files()
    for seed in range(6):
        args = draw_command(files, seed)
        outcome = judged(lambda args=args: command(args))
        assert outcome.ok, (args, outcome.what)


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
