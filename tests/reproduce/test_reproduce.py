"""`bep_jax.reproduce`: the results file, and tables and figures on tiny problems.

Most tests put a stand-in in the place of `fit`, which is tested elsewhere; one trains.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import bep_jax as bep
from bep_jax.baselines import methods
from bep_jax.reproduce import paper, problems, smnist
from bep_jax.reproduce.all import COMMANDS
from bep_jax.reproduce.results import Results
from bep_jax.training.loop import Result

SMALL = {"state_width": 15, "group_size": (5,), "epochs": 6, "tune_epochs": 6, "folds": 2, "runs": 2}
TABLE1 = {**SMALL, "windows": (4, 8, 99), "bits": (2, 3)}
PLACE = {"kind": "run", "problem": "A", "fold": 0, "run": 0}


@pytest.fixture(autouse=True)
def _keep_compiled(monkeypatch):
    """Other tests in this process have programs that they use again."""
    monkeypatch.setattr(jax, "clear_caches", lambda: None)


@pytest.fixture
def data_dir(tmp_path):
    write_problem(tmp_path / "data", "ERing", seed=0)
    write_problem(tmp_path / "data", "Own", seed=1, num_classes=3)
    return tmp_path / "data"


def write_problem(folder: Path, name: str, *, seed: int, num_classes: int = 2, num_series: int = 12, steps: int = 9):
    rng = np.random.default_rng(seed)
    (folder / "ucr" / name).mkdir(parents=True)
    header = [f"@problemName {name}", "@timeStamps false", "@missing false", "@univariate true", "@equalLength true"]
    header += [f"@seriesLength {steps}", f"@classLabel true {' '.join(map(str, range(num_classes)))}", "@data"]
    for part in ("TRAIN", "TEST"):
        lines = []
        for i in range(num_series):
            label = i % num_classes
            values = np.cos(np.arange(steps) * (label + 1)) + 0.2 * rng.standard_normal(steps)
            lines.append(",".join(f"{value:.4f}" for value in values) + f":{label}")
        (folder / "ucr" / name / f"{name}_{part}.ts").write_text("\n".join(header + lines) + "\n")


class StandIn:
    """In the place of `fit`: notes its calls and returns accuracies that ``accuracies(call, s)`` names.

    They are pairs: validation in every epoch, test.
    """

    def __init__(self, accuracies=lambda call, s: (0.5, 0.5), stop_at=None):
        self.calls, self.accuracies, self.stop_at = [], accuracies, stop_at

    def __call__(self, model, rule, data, *, epochs, seeds, callbacks, **options):
        call = SimpleNamespace(model=model, rule=rule, data=data, seeds=list(seeds), epochs=epochs, **options)
        self.calls.append(call)
        done = epochs - 1 if len(self.calls) == self.stop_at else epochs
        pairs = np.array([self.accuracies(call, s) for s in range(len(call.seeds))])
        history = {
            "train_accuracy": np.full((len(pairs), done), 0.75),
            "validation_accuracy": np.tile(pairs[:, :1], (1, done)),
            "group_size_1": np.full((len(pairs), done), 5.0),
        }
        return Result(
            params=None,
            test_accuracy=pairs[:, 1],
            history=history,
            seeds=tuple(seeds),
            state=None,
            interrupted=done < epochs,
        )

    @property
    def trained(self):
        return sum(len(call.seeds) for call in self.calls)


def use(monkeypatch, **options) -> StandIn:
    stand_in = StandIn(**options)
    monkeypatch.setattr(methods, "fit_bep", stand_in)
    return stand_in


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


# The results file


def test_a_run_is_its_place_and_its_settings(tmp_path):
    results = Results(tmp_path / "new" / "results.jsonl")
    results.append([{**PLACE, "test_accuracy": 0.5, "settings": {"gate": 1.0, "group_size": [15]}}])
    again = Results(tmp_path / "new" / "results.jsonl")
    assert again.find(PLACE, {"gate": 1, "group_size": (15,)})["test_accuracy"] == 0.5
    assert again.find(PLACE, {"gate": 1.5, "group_size": (15,)}) is None
    assert again.find(PLACE, {"gate": 1, "group_size": (15,), "scale": 64}) is None
    assert again.find({**PLACE, "run": 1}, {"gate": 1, "group_size": (15,)}) is None


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_line_cut_short_costs_only_itself(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    Results(path).append([{**PLACE, "run": run, "settings": {}} for run in range(3)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    results = Results(path)
    assert [r["run"] for r in results] == [0, 1]
    results.append([{**PLACE, "run": 2, "settings": {}}])
    assert path.read_bytes() == whole
    assert [r["run"] for r in Results(path)] == [0, 1, 2]


def test_a_damaged_line_in_the_middle_costs_only_itself(tmp_path, capsys):
    path = tmp_path / "results.jsonl"
    Results(path).append([{**PLACE, "run": run, "settings": {}} for run in range(3)])
    first, second, third = path.read_text().splitlines()
    path.write_text("\n".join([first, second[:20], "[]", '"text"', "\xff", third]) + "\n", encoding="latin-1")
    assert [r["run"] for r in Results(path)] == [0, 2]
    assert capsys.readouterr().err.count("damaged line") == 4


@pytest.mark.parametrize("old, new", [("0.25", "0.75"), ("test_accuracy", "test_accuracx")])
def test_a_byte_that_leaves_a_line_readable_is_noticed(tmp_path, capsys, old, new):
    path = tmp_path / "results.jsonl"
    Results(path).append([{**PLACE, "run": run, "test_accuracy": 0.25, "settings": {}} for run in range(2)])
    path.write_text(path.read_text().replace(old, new, 1))
    assert [r["run"] for r in Results(path)] == [1]
    assert "left out a damaged line" in capsys.readouterr().err


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "results.jsonl"
    results = Results(path)
    results.append([{**PLACE, "settings": {}}])
    before, write = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:10]))
    with pytest.raises(OSError, match=r"No space left on device: .*results\.jsonl"):
        results.append([{**PLACE, "run": 1, "settings": {}}])
    assert path.read_bytes() == before


def test_two_processes_share_a_file(tmp_path):
    script = """
import sys
from bep_jax.reproduce.results import Results
results = Results(sys.argv[1])
for run in range(200):
    place = {"kind": "run", "problem": sys.argv[2], "fold": 0, "run": run}
    results.append([{**place, "text": "x" * (37 * run % 5000), "settings": {}}])
"""
    root = os.pathsep.join([str(Path(bep.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    path = tmp_path / "results.jsonl"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(path), problem], env={**os.environ, "PYTHONPATH": root})
        for problem in "AB"
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted((r["problem"], r["run"]) for r in Results(path)) == [(p, run) for p in "AB" for run in range(200)]


# Table 1


def test_table1_trains_what_the_public_functions_train(data_dir, tmp_path):
    flags = {**SMALL, "epochs": 2, "tune_epochs": 2, "windows": (4,), "bits": (2, 3), "gate": 0.2}
    flags |= {"validation": 0.2, "tune_validation": 0.2}  # so that tuning and training share a program
    table1 = COMMANDS["table1"](problems=("Own",), data_dir=data_dir, out=tmp_path / "out", seed=5, **flags)
    table1.run()
    runs = [line for line in lines(table1.out) if line["kind"] == "run"]
    assert [(r["problem"], r["fold"], r["run"]) for r in runs] == [("Own", f, r) for f in (0, 1) for r in (0, 1)]
    one = runs[1]
    options = {"window": one["window"], "num_bits": one["bits"], "width": 15, "fold": 0, "folds": 2}
    data = bep.datasets.load("ucr/Own", data_dir=data_dir, seed=5, **options)
    model = bep.rnn(num_inputs=15, state_width=15, output_width=15, num_classes=3)
    rule = bep.Rule(gate=0.2, group_size=5)
    batch = {"batch_size": -(-len(data.train_y) // 10), "validation": 0.2, "key": jax.random.key(5), "progress": False}
    result = bep.fit(model, rule, data, epochs=2, seeds=[1], **batch)
    assert one["test_accuracy"] == result.test_accuracy[0]
    np.testing.assert_allclose(one["history"]["validation_accuracy"], result.history["validation_accuracy"][0], 1e-4)
    assert one["num_train"] == len(data.train_y) and one["num_test"] == len(data.test_y)
    assert one["seconds"] > 0 and one["date"] and one["platform"]["system"]
    assert set(one["versions"]) >= {"bep_jax", "jax", "jaxlib", "numpy"}
    assert (table1.out / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_table1_chooses_on_validation_alone(data_dir, tmp_path, monkeypatch):
    def accuracies(call, s):
        tuning = call.data.test_y.shape[1] == 1
        # Validation favours window 8 and 3 bits; test, were it looked at, window 4 and 2 bits.
        window = call.data.train_x.shape[-2]
        return ((0.9 if (window, s) == (8, 1) else 0.4), 0.6) if tuning else (0.1, 0.7)

    fit = use(monkeypatch, accuracies=accuracies)
    table1 = COMMANDS["table1"](problems=("ERing",), data_dir=data_dir, out=tmp_path, **TABLE1)
    table1.run()
    tuned = [call for call in fit.calls if call.data.test_y.shape[1] == 1]
    final = [call for call in fit.calls if call.data.test_y.shape[1] > 1]
    # 99 is cut to the 9 steps that there are; all bits of a window, and all runs of a fold, are one fit.
    assert [call.data.train_x.shape[-2] for call in tuned] == 2 * [4, 8, 9]
    assert {(call.seeds[0], len(call.seeds), call.validation) for call in tuned} == {(0, 2, 0.2)}
    for call in tuned:  # where test series go, one training series
        np.testing.assert_array_equal(call.data.test_x[0, 0], call.data.train_x[0, 0])
    assert [(call.data.train_x.shape[-2], call.seeds) for call in final] == 2 * [(8, [0, 1])]
    runs = [line for line in lines(tmp_path) if line["kind"] == "run"]
    assert {(r["window"], r["bits"], r["test_accuracy"]) for r in runs} == {(8, 3, 0.7)}
    grid = [line for line in lines(tmp_path) if line["kind"] == "tune"]
    assert {(g["fold"], g["window"], g["bits"]): g["validation_accuracy"] for g in grid} == {
        (fold, window, bits): 0.9 if (window, bits) == (8, 3) else 0.4
        for fold in (0, 1)
        for window in (4, 8, 9)
        for bits in (2, 3)
    }
    assert not any("test_accuracy" in g for g in grid)


def test_ties_go_to_the_smaller_window_then_to_fewer_bits(data_dir, tmp_path, monkeypatch):
    use(monkeypatch)
    COMMANDS["table1"](problems=("ERing",), data_dir=data_dir, out=tmp_path, **{**TABLE1, "bits": (3, 2)}).run()
    assert {(r["window"], r["bits"]) for r in lines(tmp_path) if r["kind"] == "run"} == {(4, 2)}


def test_table1_does_nothing_twice(data_dir, tmp_path, monkeypatch):
    fit = use(monkeypatch)
    table1 = COMMANDS["table1"](problems=("*",), data_dir=data_dir, out=tmp_path, **TABLE1)
    table1.run()
    assert fit.trained == 2 * 2 * (3 * 2 + 2)  # problems, folds, grid and runs
    whole, table = (tmp_path / "results.jsonl").read_text(), (tmp_path / "table.md").read_text()
    table1.run()
    assert fit.trained == 32
    # Stopped while the last line was being written: that run alone is done again.
    (tmp_path / "results.jsonl").write_text(whole[:-50])
    table1.run()
    assert fit.trained == 33 and fit.calls[-1].seeds == [1]
    assert len(lines(tmp_path)) == 32 and (tmp_path / "table.md").read_text() == table


def test_more_runs_are_added_to_those_that_are_there(data_dir, tmp_path, monkeypatch):
    fit = use(monkeypatch)
    flags = {"problems": ("ERing",), "data_dir": data_dir, "out": tmp_path, **TABLE1}
    COMMANDS["table1"](**{**flags, "runs": 1}).run()
    before = fit.trained
    COMMANDS["table1"](**{**flags, "runs": 3}).run()
    assert fit.trained == before + 4 and fit.calls[-1].seeds == [1, 2]


def test_other_settings_are_other_runs(data_dir, tmp_path, monkeypatch):
    use(monkeypatch, accuracies=lambda call, s: (0.5, 0.25 if call.epochs == 6 else 0.75))
    flags = {"problems": ("ERing",), "data_dir": data_dir, "out": tmp_path, **TABLE1}
    COMMANDS["table1"](**flags).run()
    assert "| 25.00 ± 0.00 |" in (tmp_path / "table.md").read_text()
    COMMANDS["table1"](**{**flags, "epochs": 7}).run()
    assert "| 75.00 ± 0.00 |" in (tmp_path / "table.md").read_text()
    assert len([r for r in lines(tmp_path) if r["kind"] == "run"]) == 8
    assert json.loads((tmp_path / "protocol.json").read_text())["settings"]["epochs"] == 7
    COMMANDS["table1"](**flags).run()
    assert "| 25.00 ± 0.00 |" in (tmp_path / "table.md").read_text()


def test_other_series_are_other_runs(data_dir, tmp_path, monkeypatch):
    fit = use(monkeypatch)
    table1 = COMMANDS["table1"](problems=("Own",), data_dir=data_dir, out=tmp_path, **TABLE1)
    table1.run()
    path = data_dir / "ucr" / "Own" / "Own_TRAIN.ts"
    path.write_text(path.read_text().replace("0.", "0.1"))
    before = fit.trained
    table1.run()
    assert fit.trained == 2 * before
    assert "4 of 4" in (tmp_path / "table.md").read_text()


def test_table1_says_ours_and_the_papers(data_dir, tmp_path, monkeypatch, capsys):
    use(monkeypatch, accuracies=lambda call, s: (0.5, (0.8, 0.9)[s]))
    for problem in ("ERing", "ucr/Own"):  # as two processes would, each with its own
        COMMANDS["table1"](problems=(problem,), data_dir=data_dir, out=tmp_path, **TABLE1).run()
    table = (tmp_path / "table.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines() if row.startswith("|")]
    row = paper.TABLE1["ERing"]
    ours, difference = "85.00 ± 5.77", f"{85 - row.bep:+.2f}"
    theirs = [f"{row.bep:.2f} ± {row.bep_std:.2f}", difference]
    qat = [f"{row.qat:.2f} ± {row.qat_std:.2f}", f"{row.qat_batchnorm:.2f} ± {row.qat_batchnorm_std:.2f}"]
    assert rows[2] == ["ERing", ours, *theirs, *qat, "4 / 2", "4 of 4"]
    assert rows[3] == ["Own", ours, "", "", "", "", "4 / 2", "4 of 4"]
    assert rows[4][:3] == ["**mean of the paper's 1**", "**85.00**", f"**{row.bep:.2f}**"]
    assert table.strip() in capsys.readouterr().out


def test_a_problem_that_fails_does_not_stop_the_others(data_dir, tmp_path, monkeypatch):
    use(monkeypatch)
    write_problem(data_dir, "Alone", seed=2, num_series=1)
    broken = data_dir / "ucr" / "Broken"
    broken.mkdir()
    for part in ("TRAIN", "TEST"):
        (broken / f"Broken_{part}.ts").write_text("nonsense")
    table1 = COMMANDS["table1"](problems=("*",), data_dir=data_dir, out=tmp_path, **TABLE1)
    with pytest.raises(ValueError, match=r"2 of 4 problems failed:\n  Alone: .*two classes.*\n  Broken: .*@data"):
        table1.run()
    assert re.findall(r"^\| (\w+)", (tmp_path / "table.md").read_text(), re.MULTILINE) == ["problem", "ERing", "Own"]


def test_half_a_run_is_no_result(data_dir, tmp_path, monkeypatch):
    fit = use(monkeypatch, stop_at=4)
    table1 = COMMANDS["table1"](problems=("ERing",), data_dir=data_dir, out=tmp_path, **TABLE1)
    with pytest.raises(KeyboardInterrupt):  # Ctrl-C during the first fold's runs, which are the fourth fit
        table1.run()
    assert [line["kind"] for line in lines(tmp_path)] == 6 * ["tune"]
    table1.run()
    assert fit.trained == 2 * (3 * 2 + 2) + 2
    fit.stop_at = len(fit.calls) + 1
    with pytest.raises(KeyboardInterrupt):
        COMMANDS["table1"](problems=("Own", "ERing"), data_dir=data_dir, out=tmp_path, **TABLE1).run()
    assert "| ERing " in (tmp_path / "table.md").read_text()  # what there is


def test_problems_are_found(data_dir):
    assert problems.find(None, data_dir, tuple(paper.TABLE1)) == ("ERing",)
    assert problems.find(("*",), data_dir, ()) == ("ERing", "Own")
    assert problems.find(("O*", "ucr/Wafer"), data_dir, ()) == ("Own", "Wafer")
    with pytest.raises(ValueError, match="Found, but not among them: ERing, Own"):
        problems.find(None, data_dir, ("Wafer",))
    with pytest.raises(ValueError, match=r"found none of problems X\*"):
        problems.find(("X*",), data_dir, ())


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("table1", {"windows": ()}, "--windows takes integers of at least 1"),
        ("table1", {"runs": 0}, "--runs takes integers of at least 1"),
        ("table1", {"group_size": (4,)}, "must divide every width"),
        ("table1", {"folds": 1}, "--folds must be at least 2"),
        ("table1", {"tune_validation": 0.0}, "--tune-validation must be a fraction"),
        ("table3", {"validation": 0.0}, "--validation must be a fraction"),
        ("figure3", {"gates": (-1.0,)}, "gate must be at least 0"),
        ("figure8", {"horizons": (0,)}, "--horizons takes integers of at least 1"),
    ],
)
def test_flags_are_checked_before_anything_is_done(tmp_path, command, flags, message):
    with pytest.raises(ValueError, match=message):
        COMMANDS[command](out=tmp_path / "out", **flags).run()
    assert not (tmp_path / "out").exists()


# Table 3 and the figures


def test_table3_trains_all_bits_side_by_side(data_dir, tmp_path, monkeypatch):
    # The longer window is the better one in tuning.
    fit = use(monkeypatch, accuracies=lambda call, s: (call.data.train_x.shape[-2] / 10, 0.5))
    monkeypatch.setitem(paper.TABLE3, "ERing", (1.0, 2.0, 3.0, 4.0, 5.0))
    flags = {**SMALL, "windows": (4, 8), "bits": (1, 10)}
    table3 = COMMANDS["table3"](data_dir=data_dir, out=tmp_path, **flags)
    table3.run()
    assert [call.seeds for call in fit.calls] == 2 * [[0, 0], [0, 0], [0, 1, 0, 1]]
    table3.run()
    assert len(fit.calls) == 6
    rows = [row for row in (tmp_path / "table.md").read_text().splitlines() if row.startswith("|")]
    assert re.search(r"ERing .* 80.00 ± 0.00 \| 80.00 ± 0.00 \| +8 \| 8 of 8 \|", rows[2])
    assert re.search(r"paper, validation \| +1.00 \| +2.00 \|", rows[3])
    assert re.search(r"test fold \| 50.00 ± 0.00 \| 50.00 ± 0.00 \|", rows[4])
    assert (tmp_path / "picture.png").is_file()
    COMMANDS["table3"](data_dir=data_dir, out=tmp_path / "one", **{**flags, "windows": (4,)}).run()
    assert {line["kind"] for line in lines(tmp_path / "one")} == {"run"}  # nothing to tune


@pytest.fixture
def mnist(monkeypatch):
    def load(name, *, window, width, **_):
        assert name == "mnist"
        x = np.zeros((20, window, -(-(width or 784 // window) // 32)), np.uint32)
        return SimpleNamespace(train_x=x, train_y=np.arange(20) % 10, test_x=x[:5], test_y=np.arange(5))

    monkeypatch.setattr(smnist.datasets, "load", load)


FIGURE = {"state_width": 15, "group_size": (5,), "images": 10, "epochs": 6, "runs": 2}


def test_figure3_trains_all_gates_side_by_side(mnist, tmp_path, monkeypatch):
    fit = use(monkeypatch, accuracies=lambda call, s: (float(call.rule.gate[s, 0]) / 10, 0.5))
    figure3 = COMMANDS["figure3"](out=tmp_path, windows=(4, 2), gates=(0.1, 0.5), **FIGURE)
    figure3.run()
    assert [(call.data.train_x.shape[:2], call.seeds) for call in fit.calls] == [
        ((10, 2), [0, 1, 0, 1]),
        ((10, 4), [0, 1, 0, 1]),
    ]
    assert fit.calls[0].rule.gate.tolist() == [[1, 1], [1, 1], [7, 7], [7, 7]]
    assert fit.calls[0].model == bep.rnn(num_inputs=392, state_width=15, output_width=15, num_classes=10)
    assert {(r["window"], r["gate"], r["run"]) for r in lines(tmp_path)} == {
        (window, gate, run) for window in (2, 4) for gate in (0.1, 0.5) for run in (0, 1)
    }
    assert len(lines(tmp_path)[0]["history"]["validation_accuracy"]) == 6
    table = (tmp_path / "table.md").read_text()
    assert re.search(r"\| 2 +\| 0.5 \| +70.00 ± 0.00 \| +96.0 \| +50.00 ± 0.00 \| +2 \|", table)
    assert re.search(r"\| 4 +\| 0.1 \| +10.00 ± 0.00 \| +93.0 \| +50.00 ± 0.00 \| +2 \|", table)
    assert (tmp_path / "picture.png").is_file()
    # Another process's gates are only added; nothing is done twice.
    COMMANDS["figure3"](out=tmp_path, windows=(4,), gates=(0.1, 0.2, 0.5), **FIGURE).run()
    assert len(fit.calls) == 3 and fit.calls[2].seeds == [0, 1] and fit.calls[2].rule.gate.tolist() == [[3, 3], [3, 3]]


def test_figure8_trains_each_horizon(mnist, tmp_path, monkeypatch):
    fit = use(monkeypatch, accuracies=lambda call, s: ((call.model.layers[0].horizon or 28) / 100, 0.5))
    figure8 = COMMANDS["figure8"](out=tmp_path, horizons=(2, 28, 100), width=7, **FIGURE)
    figure8.run()
    # At 28 and beyond errors reach the first step: one run, without a horizon.
    assert [call.model.layers[0].horizon for call in fit.calls] == [2, None]
    assert fit.calls[0].model.num_inputs == 7
    table = (tmp_path / "table.md").read_text()
    assert re.search(r"\| 2 +\| +2.00 ± 0.00 \| +54.5 \|", table)
    assert re.search(r"\| 28 +\| +28.00 ± 0.00 \| +93.0 \|", table)
    assert (tmp_path / "picture.png").is_file()
    figure8.run()
    assert len(fit.calls) == 2


def test_departures_from_the_paper_are_other_runs(mnist, tmp_path, monkeypatch):
    fit = use(monkeypatch, accuracies=lambda call, s: (0.5, 0.5))
    usual = COMMANDS["figure8"](out=tmp_path, horizons=(2,), **FIGURE)
    usual.run()
    dataclasses.replace(usual, patterns=9, gated_update=True).run()
    cells = [call.model.layers[0] for call in fit.calls]
    assert [(cell.patterns, cell.gated_update) for cell in cells] == [(None, False), (9, True)]
    # A line from before there were departures is that of a run without any.
    settings = [line["settings"] for line in lines(tmp_path)]
    assert settings[2] == settings[0] | {"patterns": 9, "gated_update": True}
    usual.run()
    assert len(fit.calls) == 2


def test_images_that_are_not_there(mnist, tmp_path):
    with pytest.raises(ValueError, match="--images is 21, the training file holds 20"):
        COMMANDS["figure8"](out=tmp_path, **{**FIGURE, "images": 21}).run()


def test_table1_trains_qat_on_the_same_folds(tmp_path, data_dir, monkeypatch):
    bep_fit = use(monkeypatch, accuracies=lambda call, s: (0.5, 0.9))
    # The rate 0.001 is the best on validation data; tests only report.
    qat_fit = StandIn(lambda call, s: (1 - abs(np.log10(call.rule[s]) + 3), 0.7))

    def fit(model, data, *, learning_rate, **options):
        return qat_fit(model, learning_rate, data, **options)

    monkeypatch.setattr(methods.qat, "fit", fit)
    flags = {**TABLE1, "problems": ("ERing",), "data_dir": data_dir, "out": tmp_path / "out"}
    COMMANDS["table1"](**flags, methods=("bep", "qat-raw"), baseline_runs=2).run()
    assert [call.rule for call in qat_fit.calls] == [[1e-4, 1e-3, 1e-2], [1e-3, 1e-3]] * 2, "each fold: tuned, tested"
    for tuned, tested in zip(qat_fit.calls[::2], qat_fit.calls[1::2], strict=True):
        finals = [call for call in bep_fit.calls if call.data.test_y.shape[-1] > 1]
        assert any(np.array_equal(call.data.test_x[0], tested.data.test_x) for call in finals), "the fold of BEP"
        np.testing.assert_array_equal(tuned.data.train_x, tested.data.train_x)
        assert len(tuned.data.test_y) == 1, "tuning looks at no test data"
    table = (tmp_path / "out" / "table.md").read_text()
    assert "QAT, raw sums, paper" in table and "70.00 ± 0.00" in table
    before = bep_fit.trained + qat_fit.trained
    COMMANDS["table1"](**flags, methods=("bep", "qat-raw"), baseline_runs=2).run()
    assert bep_fit.trained + qat_fit.trained == before
    with pytest.raises(ValueError, match="table1: unknown method local-rule"):
        COMMANDS["table1"](**flags, methods=("local-rule",)).run()
