"""`reproduce figure4` and its like: every value is that of a fit of its own, each run is done once."""

import json

import pytest

import bep_jax as bep
from bep_jax.reproduce import sweep, sweeps


@pytest.fixture(autouse=True)
def small(monkeypatch):
    def load(name, **options):
        options = {k: v for k, v in options.items() if k in ("num_train", "num_test", "seed")}
        return bep.datasets.load(name, num_inputs=64, flip_probability=0.2, **options)

    monkeypatch.setattr(sweep, "load", load)


SIZES = {"datasets": ("random-prototypes",), "layer_widths": (15,), "num_train": 120, "batch_size": 30}


def lines(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_a_sweep_is_a_fit_a_value(tmp_path):
    command = sweeps.Figure4(**SIZES, layers=(2,), gates=(0.1, 0.5), epochs=3, runs=1, out=tmp_path)
    command.run()
    assert [r["gate"] for r in lines(tmp_path)] == [0.1, 0.5]
    data = bep.datasets.load(
        "random-prototypes", num_inputs=64, flip_probability=0.2, num_train=120, num_test=1, seed=0
    )
    model = bep.mlp(num_inputs=64, widths=(15, 15), num_classes=10)
    alone = bep.fit(model, bep.Rule(gate=0.5), data, epochs=3, batch_size=30, seeds=1, patience=None, progress=False)
    accuracy = alone.history["validation_accuracy"][0]
    assert lines(tmp_path)[1]["history"]["validation_accuracy"] == [round(a, 5) for a in accuracy]
    assert "test_accuracy" not in lines(tmp_path)[0]
    table = (tmp_path / "table.md").read_text()
    assert table.startswith("# Figure 4: the gate ν") and "15 wide" in table
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    before = (tmp_path / "results.jsonl").read_text()
    command.run()
    assert (tmp_path / "results.jsonl").read_text() == before


def test_growing_groups_are_drawn_by_epoch(tmp_path):
    sweeps.Figure7(**SIZES, group_sizes=(3, 4, 5), patience=1, epochs=3, runs=2, out=tmp_path).run()
    assert {r["group_size"] for r in lines(tmp_path)} == {3, 5}, "4 does not divide 15"
    assert (tmp_path / "picture.png").exists()


def test_depth_has_a_line_a_gate(tmp_path):
    sweeps.Depth(**SIZES, layers=(1, 2), gates=(0.1, 0.2), epochs=1, runs=1, out=tmp_path).run()
    table = (tmp_path / "table.md").read_text()
    assert "ν = 0.1" in table and "| layers |" in table


def test_bad_flags(tmp_path):
    with pytest.raises(ValueError, match=r"figure5: no --group-sizes \(4,\) divides the width 15"):
        sweeps.Figure5(**SIZES, group_sizes=(4,), out=tmp_path).run()
    with pytest.raises(ValueError, match="bits: unknown data set cifar"):
        sweeps.Bits(**SIZES | {"datasets": ("cifar",)}, out=tmp_path).run()
