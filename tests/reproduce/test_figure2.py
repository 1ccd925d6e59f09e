"""`reproduce figure2`: candidates are chosen on validation data, each run is done once."""

import json
from types import SimpleNamespace

import pytest

import bep_jax as bep
from bep_jax.baselines import methods
from bep_jax.reproduce import figure2


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Random Prototypes of a tenth of the size, and a count of fits."""
    fits = []

    def load(name, **options):
        del options["split"], options["data_dir"]
        return bep.datasets.load(name, num_train=120, num_test=40, num_inputs=64, flip_probability=0.2, **options)

    def fit(*args, **kwargs):
        fits.append(kwargs)
        return methods.fit(*args, **kwargs)

    monkeypatch.setattr(figure2, "load", load)
    monkeypatch.setattr(figure2, "methods", SimpleNamespace(**vars(methods) | {"fit": fit}))
    return fits


def command(out, **options):
    flags = {"layer_widths": (15,), "layers": (2,), "margins": (0.5,), "groups": ("1",), "tune_epochs": 1, "epochs": 2}
    return figure2.Figure2(**{"datasets": ("random-prototypes",), "runs": 2, "out": out, **flags, **options})


def lines(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_tunes_then_tests_once(tmp_path, small):
    command(tmp_path).run()
    tuned, tested = ([r for r in lines(tmp_path) if r["kind"] == kind] for kind in ("tune", "run"))
    assert (len(tuned), len(tested)) == (4, 2)  # two gates of two runs; two seeds
    assert not any("test_accuracy" in r for r in tuned)
    best = max((0.2, 0.5), key=lambda gate: sum(r["validation_accuracy"] for r in tuned if r["gate"] == gate))
    assert {r["gate"] for r in tested} == {best}
    assert small[-1]["validation"] == 0.0 and small[-1]["patience"] is None
    table = (tmp_path / "table.md").read_text()
    assert "random-prototypes" in table and f"{best:g}" in table
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_second_call_trains_nothing_and_more_candidates_only_themselves(tmp_path, small):
    command(tmp_path).run()
    before = (tmp_path / "results.jsonl").read_text()
    small.clear()
    command(tmp_path).run()
    assert not small and (tmp_path / "results.jsonl").read_text() == before
    command(tmp_path, gates=(0.2, 0.5, 0.9)).run()
    assert len(small[0]["seeds"]) == 2, "one new gate of two runs"
    tuned = {r["gate"] for r in lines(tmp_path) if r["kind"] == "tune"}
    assert tuned == {0.2, 0.5, 0.9}


def test_groups_that_differ_between_layers(tmp_path, small):
    groups = ("3", "5,3", "5,3,1", "4")  # the third is for another depth, the last divides nothing
    command(tmp_path, groups=groups, gates=(0.2,), tune_runs=1).run()
    tuned, tested = ([r for r in lines(tmp_path) if r["kind"] == kind] for kind in ("tune", "run"))
    assert [r["group_size"] for r in tuned] == [5, [3, 5]]
    best = max(tuned, key=lambda r: r["validation_accuracy"])["group_size"]
    assert [r["group_size"] for r in tested] == [best] * 2
    count = len(lines(tmp_path))
    command(tmp_path, groups=groups, gates=(0.2,), tune_runs=1).run()
    assert len(lines(tmp_path)) == count
    wanted = "γ 5," if best == 5 else "γ 3/5,"
    assert wanted in (tmp_path / "table.md").read_text()


def test_tuning_draws_are_not_the_tested_ones(tmp_path, small):
    command(tmp_path).run()
    assert not set(small[0]["seeds"]) & set(small[-1]["seeds"])


def test_every_method_is_tuned_and_tested(tmp_path, small):
    methods = ("local-rule", "qat-raw", "random-features")
    command(tmp_path, methods=methods, gates=(0.2,), tune_runs=1, learning_rates=(1e-3, 1e-2), runs=1).run()
    counts = {m: sum(r["kind"] == "tune" and r["method"] == m for r in lines(tmp_path)) for m in methods}
    assert counts == {"local-rule": 1, "qat-raw": 2, "random-features": 1}
    assert {r["method"] for r in lines(tmp_path) if r["kind"] == "run"} == set(methods)
    table = (tmp_path / "table.md").read_text()
    assert "local rule" in table and "rate 0.0" in table


def test_bad_flags(tmp_path):
    with pytest.raises(ValueError, match="figure2: --runs takes integers of at least 1"):
        command(tmp_path, runs=0).run()
    with pytest.raises(ValueError, match="figure2: unknown data set, split or method cifar"):
        command(tmp_path, datasets=("cifar",)).run()
    with pytest.raises(ValueError, match="figure2: --groups must be numbers like 15 or 15,7,1, got 5 x"):
        command(tmp_path, groups=("5", "x")).run()
