"""`python -m bep_jax compare`: one table of several methods, and what goes into it."""

import functools
import json

import jax
import numpy as np
import pytest

import bep_jax as bep
from bep_jax.baselines import methods
from bep_jax.commands import cli
from bep_jax.training import memory
from bep_jax.training.loop import Result

FLAGS = ["compare", "--dataset", "digits", "--widths", "15", "15", "--epochs", "2", "--seeds", "2", "--no-progress"]


def test_compare(tmp_path, capsys):
    flags = ["--methods", "bep", "qat-batchnorm", "--learning-rates", "0.001", "0.1", "--tune-epochs", "1"]
    assert cli.main([*FLAGS, *flags, "--out", str(tmp_path), "--name", "one"]) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "one"
    written = {"result.json", "table.md", "curves.png", "history-bep.csv", "history-qat-batchnorm.csv"}
    assert {path.name for path in folder.iterdir()} == written
    assert (folder / "table.md").read_text() in printed
    bep_record, qat = json.loads((folder / "result.json").read_text())["methods"]
    data = bep.datasets.load("digits", encoder=functools.partial(bep.encode.fit_edges, image_shape=(8, 8)))
    model = bep.mlp(num_inputs=768, widths=(15, 15), num_classes=10)
    rule = bep.Rule(**{name: value for name, value in bep_record["setting"].items() if name != "group_size"})
    alone = bep.fit(model, rule, data, epochs=2, batch_size=72, seeds=2, progress=False)
    assert bep_record["test_accuracy"] == alone.test_accuracy.tolist(), "the same as train's"
    # int16 hidden weights, 2 seeds, beside float32 weights and two moments.
    weights = 15 * 512 + 15 * 15
    assert 2 * 2 * weights < bep_record["state_bytes"] < 2 * 3 * weights + 500
    assert qat["state_bytes"] > 2 * 12 * weights
    assert bep_record["bits_a_weight"] == 1 < qat["bits_a_weight"]
    assert qat["setting"]["learning_rate"] in (0.001, 0.1)
    assert all(r["peak_bytes"] is None or r["peak_bytes"] >= 0 for r in (bep_record, qat))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods", "adam"], "compare: --methods takes bep, local-rule"),
        (["--methods", "bep", "local-rule", "--window", "8"], "no recurrent form"),
        (["--methods", "qat", "--learning-rates", "0"], "must be positive"),
        (["--methods", "qat", "--validation", "0"], "nothing is left to choose by"),
        (["--methods", "random-features", "--widths", "15"], "at least two layers"),
    ],
)
def test_bad_flags(tmp_path, capsys, flags, message):
    window = "--window" in flags
    common = [*FLAGS[:3], *FLAGS[6:]] if window else FLAGS
    assert cli.main([*common, *flags, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_a_rate_is_sought_stops(tmp_path, monkeypatch, capsys):
    rates = []

    def fit(model, data, *, learning_rate, **options):
        rates.append(learning_rate)
        return Result(params=None, test_accuracy=None, history={}, seeds=(), state=None)

    monkeypatch.setattr(methods.qat, "fit", fit)
    flags = ["--methods", "qat", "--learning-rates", "0.001", "0.1"]
    assert cli.main([*FLAGS, *flags, "--out", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert rates == [[0.001, 0.1]] and not list(tmp_path.iterdir())


def test_memory_counts_keys_by_their_words():
    assert memory.state_bytes((jax.random.key(0), np.zeros(3, np.int16))) == 14


def test_memory_sees_a_large_array():
    peak = memory.peak_bytes(lambda: np.ones(2**26, np.uint8))
    assert peak is None or peak > 2**25  # the system counts in batches of pages


def test_memory_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none" / "clear_refs")
    done = []
    assert memory.peak_bytes(lambda: done.append(1)) is None and done == [1]
