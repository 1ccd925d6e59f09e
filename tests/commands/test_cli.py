"""The command line: what it trains, prints and writes, and what it says to mistakes."""

import dataclasses
import functools
import importlib.machinery
import inspect
import json
import shlex
import signal
import subprocess
import sys
import types

import jax
import numpy as np
import pytest

import bep_jax as bep
from bep_jax.commands import cli, flags, train, tune
from bep_jax.commands import plan as plans
from bep_jax.data import images


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs go to a scratch folder, also by default."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small(monkeypatch):
    """Random Prototypes of a size that trains in no time."""
    load = functools.partial(bep.datasets.load, num_train=300, num_test=90, num_inputs=65)
    monkeypatch.setattr(plans.datasets, "load", load)


@pytest.fixture
def problem(tmp_path):
    """A folder with a problem of two channels, unequal lengths and a missing value: the sign of a slope."""
    folder = tmp_path / "data" / "ucr" / "Slopes"
    folder.mkdir(parents=True)
    for part, count in (("TRAIN", 40), ("TEST", 12)):
        lines = [
            "@problemName Slopes", "@timestamps false", "@missing true", "@univariate false", "@dimension 2",
            "@equalLength false", "@classLabel true up down", "@data",
        ]  # fmt: skip
        for i in range(count):
            length, sign = 9 + i % 4, 1 if i % 2 else -1
            rising = [f"{sign * (t - length + 5) + (i * 7 + t * 3) % 5 / 4:.2f}" for t in range(length)]
            noise = [f"{(i * 5 + t * 11) % 13}" if t != 3 else "?" for t in range(length)]
            lines.append(f"{','.join(rising)}:{','.join(noise)}:{'up' if sign > 0 else 'down'}")
        (folder / f"Slopes_{part}.ts").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def test_flags_have_the_defaults_of_the_library():
    fit = inspect.signature(bep.fit).parameters
    plan = plans.make_plan(flags.Data(), flags.Network(), flags.RuleFlags(), flags.Training())
    assert plan.rule == bep.Rule(group_size=(15, 15))
    series = plans.make_plan(flags.Data(dataset="ucr/Any"), flags.Network(), flags.RuleFlags(), flags.Training())
    assert series.rule == bep.Rule()
    for name in ("epochs", "seeds", "validation", "patience", "scale", "keep", "stop_after", "class_weight"):
        assert getattr(flags.Training(), name) == fit[name].default
    sizes = [
        plan.batch_size(bep.datasets.load("random-prototypes", num_train=n, num_test=1)) for n in (9, 20, 900, 5000)
    ]
    assert sizes == [9, 16, 45, fit["batch_size"].default]


def test_train_in_a_fresh_process(tmp_path):
    command = [sys.executable, "-m", "bep_jax", "train", "--dataset", "digits", "--epochs", "1", "--seeds", "2"]
    command += ["--widths", "15", "--json", "deep/result.json"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    out, err = process.stdout, process.stderr
    assert process.returncode == 0, err
    assert "1,437 training and 360 test samples" in out
    assert "1/1" in err  # the bar
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("digits-mlp-15-")
    assert {path.name for path in folder.iterdir()} == {
        "result.json",
        "history.csv",
        "curves.png",
        "model.safetensors",
        "flags.json",
        "checkpoint.safetensors",
    }
    result = json.loads((folder / "result.json").read_text())
    assert result == json.loads((tmp_path / "deep" / "result.json").read_text())
    assert len(result["test_accuracy"]) == 2
    assert result["mean"] == pytest.approx(np.mean(result["test_accuracy"]), abs=0)
    assert f"{100 * result['mean']:.2f}" in out
    assert result["interrupted"] is False


def test_what_a_run_holds(small, tmp_path, capsys):
    args = [
        "train",
        "--widths",
        "35",
        "35",
        "--epochs",
        "3",
        "--group-size",
        "5",
        "7",
        "--batch-size",
        "32",
        "--hidden-bits",
        "9",
    ]
    args += [
        "--margin",
        "0.6",
        "--gate",
        "0.3",
        "--reinforcement",
        "0.2",
        "--seed",
        "4",
        "--patience",
        "1",
        "--scale",
        "8",
    ]
    assert cli.main([*args, "--seeds", "2", "--out", "here", "--name", "mine", "--no-progress"]) == 0
    out, err = capsys.readouterr()
    assert err == ""  # no bar
    assert "2 seeds, 3 epochs, batches of 32" in out
    assert "61.70 %" in out  # the paper's
    result = json.loads((tmp_path / "here" / "mine" / "result.json").read_text())
    used = {"widths": [35, 35], "group_size": [5, 7], "bits": 9, "margin": 0.6, "gate": 0.3, "reinforcement": 0.2}
    assert result["chosen"]["scale"] == [8.0, 8.0] and result["chosen"]["gate"] == [19, 10]
    assert len(result["validation"]["best"]) == 2 and result["recall"] is None, "each has samples of its own"
    used |= {"batch_size": 32, "seed": 4, "patience": 1, "scale": 8.0, "model": "mlp", "dataset": "random-prototypes"}
    assert used.items() <= result["config"].items()
    assert result["paper"]["mean"] == pytest.approx(0.617)
    history = np.genfromtxt(tmp_path / "here" / "mine" / "history.csv", delimiter=",", names=True).reshape(2, 3)
    assert history["seed"][:, 0].tolist() == result["seeds"] == [0, 1]
    assert history["group_size_2"][0, 0] == 7
    assert history["train_accuracy"][:, -1].tolist() == result["last_epoch"]["train_accuracy"]

    # The run is what the library does, and every seed has prototypes of its own.
    data = plans.datasets.load("random-prototypes", seed=result["data"]["seeds"])
    assert not np.array_equal(data.train_x[0], data.train_x[1])
    again = bep.fit(
        bep.mlp(num_inputs=65, widths=(35, 35), num_classes=10),
        bep.Rule(margin=0.6, gate=0.3, group_size=(5, 7), reinforcement=0.2, bits=9),
        data,
        epochs=3,
        batch_size=32,
        seeds=2,
        key=jax.random.key(4),
        patience=1,
        scale=8.0,
        progress=False,
    )
    assert again.test_accuracy.tolist() == result["test_accuracy"]

    # A second run of that name is refused before it trains, and allowed with --overwrite.
    before = (tmp_path / "here" / "mine" / "result.json").read_bytes()
    assert cli.main([*args, "--out", "here", "--name", "mine"]) == 2
    assert "exists already; choose another --name, or --overwrite it" in capsys.readouterr().err
    assert (tmp_path / "here" / "mine" / "result.json").read_bytes() == before
    again = [*args, "--seeds", "2", "--out", "here", "--name", "mine", "--no-progress", "--overwrite"]
    assert cli.main(again) == 0
    replaced = json.loads((tmp_path / "here" / "mine" / "result.json").read_text())
    assert replaced["test_accuracy"] == result["test_accuracy"]


def test_series_from_the_users_own_folder(problem, tmp_path, capsys):
    args = ["train", "--dataset", "ucr/Slopes", "--data-dir", str(problem), "--model", "rnn", "--window", "8"]
    args += [
        "--input-bits",
        "10",
        "--state-width",
        "45",
        "--epochs",
        "2",
        "--seeds",
        "3",
        "--no-progress",
        "--name",
        "s",
    ]
    assert cli.main(args) == 0
    out = capsys.readouterr().out
    assert "40 training and 12 test samples of 45 bits, 8 time steps, 2 classes" in out
    assert "rnn 45-45: 3 seeds, 2 epochs, batches of 4" in out
    result = json.loads((tmp_path / "runs" / "s" / "result.json").read_text())
    used = {"num_bits": 10, "bits": 16, "widths": [45, 45], "width": 45, "window": 8, "model": "rnn"}
    assert result["chosen"]["batch_size"] == 4
    assert used.items() <= result["config"].items()
    assert result["paper"] is None
    # What predicts cuts series as training did, without being told.
    series = problem / "ucr" / "Slopes" / "Slopes_TEST.ts"
    assert cli.main(["predict", "--model", "runs/s/model.safetensors", "--input", str(series)]) == 0
    found = capsys.readouterr().out.split()
    right = sum(
        line.endswith(f":{name}") for line, name in zip(series.read_text().splitlines()[8:], found, strict=True)
    )
    assert right / 12 == result["test_accuracy"][0]


def test_validation_decides_which_network_reads_series(problem, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plans, "_STATE_WIDTH", 45)
    monkeypatch.setattr(plans, "_WIDTHS", (45,))
    args = ["train", "--dataset", "ucr/Slopes", "--data-dir", str(problem), "--epochs", "4", "--seeds", "2"]
    assert cli.main([*args, "--no-progress", "--name", "s", "--keep", "best", "--class-weight", "balanced"]) == 0
    out = capsys.readouterr().out
    assert "all 12 steps at once (shorter series are padded in front)" in out
    assert out.index("validation  ") < out.index("test accuracy") and "up" in out.split("recall", 1)[1]
    result = json.loads((tmp_path / "runs" / "s" / "result.json").read_text())
    chosen, scores = result["network"]["chosen"], result["network"]["validation_accuracy"]
    assert list(scores) == ["conv", "mlp", "rocket", "rnn"][: len(scores)] and chosen in scores
    assert chosen == "conv" or scores[chosen] == max(scores.values()) > scores["conv"]
    assert f"validation samples decide for {chosen}: convolution" in out, out
    assert ("none better by a standard error" in out) == (scores[chosen] < max(scores.values()))
    assert np.sum(result["confusion"]) == 2 * 12
    # Whoever resumes it goes on with that network; what predicts cuts and pads as training did.
    assert json.loads((tmp_path / "runs" / "s" / "flags.json").read_text())["network"]["model"] == chosen
    series = problem / "ucr" / "Slopes" / "Slopes_TEST.ts"
    assert cli.main(["predict", "--model", "runs/s/model.safetensors", "--input", str(series)]) == 0
    names = [line.rpartition(":")[2] for line in series.read_text().splitlines()[8:]]
    right = sum(one == name for one, name in zip(capsys.readouterr().out.split(), names, strict=True))
    assert right / 12 == result["test_accuracy"][0]
    assert cli.main(["train", "--name", "s", "--resume", "--epochs", "5", "--no-progress"]) == 0
    resumed = json.loads((tmp_path / "runs" / "s" / "result.json").read_text())
    assert (resumed["resumed_after"], resumed["network"]) == (4, result["network"])


def test_old_spellings_say_the_new_one(capsys):
    assert cli.main(["predict", "--model", "m.safetensors", "--input", "x.npy", "--output", "y.txt"]) == 2
    assert "predict: there is no --output; write --out" in capsys.readouterr().err


def test_a_run_that_learned_nothing_says_what_to_try(small, capsys):
    args = ["train", "--widths", "15", "--epochs", "1", "--seeds", "1", "--no-progress"]
    assert cli.main([*args, "--reinforcement", "0", "--margin", "0.01", "--scale", "1"]) == 0
    out = capsys.readouterr().out
    assert "learned no more than the most frequent class" in out or "--scale 1 is below what batches" in out


def test_tune_ends_with_a_command_that_trains(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bep_jax.commands.tune._WIDTHS", ((15,),))
    args = ["tune", "--minutes", "0", "--epochs", "2", "--no-progress", "--out", "search", "--class-weight"]
    assert cli.main(args) == 0
    out = capsys.readouterr().out
    assert "test samples were not looked at" in out
    found = json.loads((tmp_path / "search" / "best.json").read_text())
    assert found["validation_accuracy"] >= found["default_accuracy"]
    assert found["command"] in out and found["python"] in out
    assert {path.name for path in (tmp_path / "search").iterdir()} == {
        "best.json",
        "mattered.png",
        "table.md",
        "tune.jsonl",
    }
    command = [*shlex.split(found["command"])[3:], "--epochs", "1", "--seeds", "1", "--no-progress", "--name", "t"]
    assert cli.main(command) == 0
    used = json.loads((tmp_path / "runs" / "t" / "result.json").read_text())["config"]
    assert used["widths"] == [15] and used["class_weight"] == "balanced"
    assert {name: used[name] for name in found["rule"]} == {**found["rule"], "group_size": 15}


def test_tune_searches_patterns_where_networks_are_recurrent():
    def words(**given):
        search = tune.Tune(data=flags.Data(dataset="ucr/Slopes"), network=flags.Network(model="rnn", **given))
        return [(encoding, network) for *_, encoding, network in search._variants("rnn")]

    assert words()[:3] == [
        ("--window 16", "--state-width 525"),
        ("--window 8", "--state-width 525"),
        ("--window 16", "--state-width 525 --patterns 105"),
    ]
    assert len(words()) == 8
    assert words(state_width=45, patterns=9) == [("--window 16", ""), ("--window 8", "")]


def test_without_matplotlib_the_numbers_are_written(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["train", "--widths", "15", "--epochs", "1", "--seeds", "1", "--name", "plain"]) == 0
    assert 'no curves.png: plots: pictures need matplotlib: pip install "bep_jax[plot]"' in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "runs" / "plain").iterdir()} == {
        "result.json",
        "history.csv",
        "model.safetensors",
        "flags.json",
        "checkpoint.safetensors",
    }


def test_ctrl_c_writes_what_there_is_and_resume_goes_on(small, monkeypatch, tmp_path, capsys):
    def press(report):
        if report.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    def fit(*args, callbacks, **options):
        return bep.fit(*args, callbacks=[*callbacks, press], **options)

    monkeypatch.setattr(train, "fit", fit)
    args = ["train", "--epochs", "4", "--seeds", "1", "--widths", "15", "--gate", "0.3", "--out", "my runs"]
    assert cli.main([*args, "--name", "long", "--json", "j.json"]) == 130
    out, err = capsys.readouterr()
    assert "after 2 epochs" in out
    assert err.rstrip().endswith(
        "interrupted; go on with: python -m bep_jax train --out 'my runs' --name long --resume"
    )
    folder = tmp_path / "my runs" / "long"
    result = json.loads((folder / "result.json").read_text())
    assert result == json.loads((tmp_path / "j.json").read_text())
    assert (result["interrupted"], result["epochs"], result["resumed_after"]) == (True, 2, 0)
    assert (folder / "curves.png").is_file()

    monkeypatch.setattr(train, "fit", bep.fit)
    resume = ["train", "--out", "my runs", "--name", "long", "--resume"]
    assert cli.main([*resume, "--batch-size", "32"]) == 2
    assert "is of another run: batch_size is 16 there, 32 here" in capsys.readouterr().err
    assert cli.main(resume) == 0
    assert "after 4 epochs" in capsys.readouterr().out
    result = json.loads((folder / "result.json").read_text())
    assert (result["interrupted"], result["epochs"], result["resumed_after"]) == (False, 4, 2)
    assert cli.main([*args, "--name", "whole"]) == 0
    for name in ("history.csv", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "my runs" / "whole" / name).read_bytes()
    # More epochs, also where it is as many as by default; and a new run in the place of the old one.
    assert cli.main([*resume, "--epochs", "50"]) == 0
    assert "after 50 epochs" in capsys.readouterr().out
    for given, told in (
        (["--seeds", "5"], "seeds is"),
        (["--scale", "64"], None),
        (["--validation", "0.2"], "validat"),
    ):
        assert cli.main([*resume, *given]) == (0 if told is None else 2)
        assert told is None or f"is of another run: {told}" in capsys.readouterr().err
    assert cli.main([*args, "--name", "long", "--overwrite"]) == 0
    assert "after 4 epochs" in capsys.readouterr().out


def test_resume_of_what_is_not_there(small, tmp_path, capsys):
    for args, message in (
        (["--resume"], "train: --resume wants the --name of a run"),
        (["--resume", "--overwrite", "--name", "a"], "and no --overwrite"),
        (["--resume", "--name", "odl"], "train: there is no run runs/odl; in runs are: bare, old, torn."),
        (["--resume", "--name", "bare"], "has no flags.json to go on from"),
        (["--resume", "--name", "old"], "has no checkpoint to go on from"),
        (["--resume", "--name", "torn"], "flags.json is damaged"),
    ):
        (tmp_path / "runs" / "old").mkdir(parents=True, exist_ok=True)
        for name in ("torn", "bare"):
            (tmp_path / "runs" / name).mkdir(exist_ok=True)
        for file in ("result.json", "flags.json"):
            (tmp_path / "runs" / "old" / file).write_text("{}")
        (tmp_path / "runs" / "torn" / "flags.json").write_text('{"data": ')
        assert cli.main(["train", *args]) == 2
        assert message in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"old", "torn", "bare"}


def test_flags_of_a_run_come_back(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(train.Train, "_train", lambda self, place, *args: called.append((self, place)))
    (tmp_path / "data.npz").write_text("")
    args = ["train", "--data-dir", "here", "--widths", "30", "15", "--group-size", "3", "5", "--epochs", "9"]
    monkeypatch.setattr(train.folders, "_remove_if_nothing", lambda *args: None)  # as if it had been killed
    assert cli.main([*args, "--dataset", "data.npz", "--name=-a", "--no-progress"]) == 0
    (command, _), groups = called.pop(), ("data", "network", "rule", "training")
    monkeypatch.chdir("/")
    resume = ["train", "--out", str(tmp_path / "runs"), "--name=-a", "--resume"]
    assert cli.main(resume) == cli.main([*resume, "--epochs", "50", "--widths", "525", "525"]) == 0
    recalled, changed = (found for found, _ in called)
    place = {"data_dir": tmp_path / "here", "dataset": str(tmp_path / "data.npz")}
    assert recalled.data == dataclasses.replace(command.data, **place)
    for name in groups[1:3]:
        assert getattr(recalled, name) == getattr(command, name)
    # When the learning rate drops was decided by the first command.
    assert recalled.training == dataclasses.replace(command.training, decay_after=7)
    assert changed.training == dataclasses.replace(command.training, decay_after=7, epochs=50)
    assert changed.network.widths == (525, 525)
    called.clear()
    (path,) = (tmp_path / "runs").rglob("flags.json")
    stored = json.loads(path.read_text())
    assert stored["training"].pop("decay_after") == 7
    path.write_text(json.dumps(stored))  # as an earlier version left it
    assert cli.main(resume) == 0
    assert called[0][0].training.decays_after is None


def test_when_the_learning_rate_drops():
    for given, after in (({}, 38), ({"epochs": 1}, 1), ({"patience": 3}, None), ({"decay_after": 0}, None)):
        assert flags.Training(**given).decays_after == after
    assert flags.Training(patience=3, decay_after=20).decays_after == 20


def test_interrupted_before_anything_was_learned(monkeypatch, tmp_path, capsys):
    def load(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(plans.datasets, "load", load)
    assert cli.main(["train", "--name", "none"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "none").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--dataset mnits", "Did you mean 'mnist'"),
        ("--group-size 16", "--group-size 16 does not divide the width 525; its divisors are 1, 3, 5, 7, 15"),
        ("--widths 30 14 --group-size 15", "does not divide the width 14"),
        ("--group-size 15 15 15", "--group-size takes one value or 2"),
        ("--group-size 0", "--group-size 0 does not divide"),
        ("--widths 0", "--widths must be from 1 to 2,147,483,647, got 0"),
        ("--widths", "--widths must be from 1"),
        ("--epochs 0", "--epochs must be at least 1, got 0"),
        ("--seeds 0", "--seeds must be at least 1"),
        ("--batch-size 0", "--batch-size must be at least 1"),
        ("--seed -1", "--seed must be at least 0"),
        ("--seed 2147483648", "--seed must be at most 2,147,483,647"),
        ("--dataset t.csv --test-fraction nan", "--test-fraction must be a finite number, got nan"),
        ("--dataset t.csv --test-fraction 1e400", "--test-fraction must be a finite number, got inf"),
        ("--input-bits 0", "--input-bits must be at least 1, got 0"),
        ("--edges --dataset ucr/PenDigits", "--edges is for images and --model mlp or conv"),
        ("--edges --dataset mnist --model rnn", "--edges is for images and --model mlp or conv"),
        ("--dataset t.csv --test-fraction 1.5", "--test-fraction must be between 0 and 1, got 1.5"),
        ("--margin nan", "train: --margin must be a finite number, got nan"),
        ("--expand -7", "--expand must be at least 0, got -7"),
        ("--dataset digits --folds 1 --fold 0", "--folds must be at least 2, got 1"),
        (f"--horizon {10**30}", "--horizon must be at most 2,147,483,647"),
        ("--margin 0", "margin must be in (0, 1]"),
        ("--gate -1", "gate must be at least 0"),
        ("--reinforcement 2", "reinforcement must be in [0, 1]"),
        ("--hidden-bits 7", "--hidden-bits must be at least 8, got 7"),
        ("--hidden-bits 17", "--hidden-bits must be at most 16, got 17"),
        ("--bits 17", "there is no --bits; write --input-bits, thermometer bits"),
        ("--width=35", "there is no --width; write --expand"),
        ("--scale -1", "--scale must be positive"),
        ("--stop-after 0", "--stop-after must be at least 1"),
        ("--stop-after 3 --validation 0", "--stop-after wants validation samples"),
        ("--dataset mnist --model rnn --widths 15", "--widths is not for rnn"),
        ("--state-width 15", "--state-width is not for mlp"),
        ("--horizon 2", "--horizon is not for mlp"),
        ("--dataset ucr/PenDigits --model rocket --shift 1", "steps, not for rocket"),
        ("--patterns 7", "--patterns is not for mlp"),
        ("--gated-update", "--gated-update is not for mlp"),
        ("--model rnn", "no time axis"),
        ("--window 2", "bits without order"),
        ("--split paper", "has split='official'"),
        ("--name a/b", "one part of a path"),
        ("--json .", "--json wants a file"),
    ],
)
def test_a_mistake_is_one_line(args, message, capsys, tmp_path):
    assert cli.main(["train", *args.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_missing_files_say_where_they_should_be(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert cli.main(["train", "--dataset", "mnist", "--data-dir", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none" / "mnist" / "train-images-idx3-ubyte") in capsys.readouterr().err


def test_an_unwritable_place_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["train", "--out", "file/runs"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_an_error_of_ours_is_not_hidden(monkeypatch, tmp_path):
    def load(*args, **options):
        raise ValueError("not meant for users")

    monkeypatch.setattr(plans.datasets, "load", load)
    with pytest.raises(ValueError, match="not meant for users"):
        cli.main(["train", "--name", "broken"])
    assert not (tmp_path / "runs" / "broken").exists()


@pytest.mark.parametrize("args", [["train", "--epochs", "x"], ["train", "--nonsense"], ["nonsense"], []])
def test_flags_that_do_not_parse(args, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(args)
    assert exit.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def plan(**options):
    groups = []
    for group in (flags.Data, flags.Network, flags.RuleFlags, flags.Training):
        names = {field.name for field in dataclasses.fields(group)} & options.keys()
        groups.append(group(**{name: options.pop(name) for name in names}))
    assert not options
    return plans.make_plan(*groups)


def test_data_and_model_decide_the_rest():
    either = plan(dataset="ucr/PenDigits", input_bits=20)
    assert (either.kind, either.widths, either.load_options["whole"]) == ("mlp", (525, 525), True)
    data, usual = flags.Data(dataset="ucr/PenDigits"), flags.Training()
    assert plans.kinds(data, flags.Network(), usual) == ("mlp", "rocket", "conv", "rnn")
    assert plans.kinds(data, flags.Network(), flags.Training(shift=1)) == ("mlp", "conv"), "what has a time axis"
    assert plans.kinds(data, flags.Network(widths=(35,)), usual) == ("mlp",)
    assert plans.kinds(data, flags.Network(patterns=7), usual) == ("rnn",)
    series = plan(dataset="ucr/PenDigits", input_bits=20, model="rnn")
    assert (series.kind, series.widths, series.rule.bits) == ("rnn", (1035, 1035), 16)
    assert (series.load_options["num_bits"], series.load_options["width"]) == (20, 1035)
    narrow = plan(
        dataset="ucr/PenDigits", state_width=60, output_width=30, expand=0, model="rnn", horizon=2, hidden_bits=8
    )
    assert (narrow.widths, narrow.load_options["width"], narrow.rule.bits) == ((60, 30), None, 8)
    assert narrow.recurrent_options == {"horizon": 2, "patterns": None, "gated_update": False}
    rows = plan(dataset="mnist", model="rnn", hidden_bits=12, input_bits=2)
    assert (rows.load_options["window"], rows.load_options["width"], rows.rule.bits) == (28, None, 12)
    assert rows.load_options["num_bits"] == 2
    assert plan(dataset="mnist", window=4).kind == "rnn"
    assert "encoder" in plan(dataset="mnist", window=28, model="conv").load_options
    assert "encoder" not in plan(dataset="mnist", window=28, model="rocket").load_options, "counts, and no grey levels"
    assert plan(dataset="ucr/PenDigits", model="conv").load_options["whole"] == "both"
    for moved in (plan(dataset="ucr/PenDigits", model="conv", shift=1), plan(dataset="mnist", window=28, model="conv")):
        assert moved.load_options["whole"] == "tied", "counts do not move with a series, nor are they of images"
    assert plan(dataset="mnist").kind == "mlp"
    usual, edges = plan(dataset="mnist").load_options["encoder"], plan(dataset="mnist", edges=True)
    assert usual.func is images.fit_drawn and usual.keywords["edges"].keywords["image_shape"] == (28, 28)
    assert edges.load_options["encoder"].keywords == {"image_shape": (28, 28), "num_bits": None}
    few = plan(dataset="digits", model="conv", edges=True, input_bits=2).load_options
    assert (few["num_bits"], few["encoder"].keywords) == (None, {"image_shape": (8, 8), "num_bits": 2})
    assert "encoder" not in plan(dataset="mnist", input_bits=4).load_options, "levels, and no edges"
    assert plan(dataset="digits", seed=3, seeds=2).data_seed == 3
    draws = [plan(seed=seed, seeds=3).data_seed for seed in (0, 1, 2**31 - 1)]
    assert draws[0] == (0, 1, 2)
    assert len(set(sum(draws, ()))) == 9


@pytest.mark.parametrize("names", [("table1",), ("table1", "figure8")])
def test_reproduce_is_mounted(names, monkeypatch, capsys):
    ran = []

    @dataclasses.dataclass(frozen=True)
    class Command:
        """Repeats it."""

        problems: tuple[str, ...] = ()
        """Which ones."""

        def run(self):
            ran.append(self.problems)

    module = types.ModuleType("bep_jax.reproduce.all")
    module.__spec__ = importlib.machinery.ModuleSpec("bep_jax.reproduce.all", None)
    module.COMMANDS = dict.fromkeys(names, Command)
    monkeypatch.setitem(sys.modules, "bep_jax.reproduce.all", module)
    assert cli.main(["reproduce", "table1", "--problems", "a", "b"]) == 0
    assert ran == [("a", "b")]
    for args, shown in (
        (["--help"], "reproduce"),
        (["reproduce", "--help"], "table1"),
        (["train", "--help"], "--gate"),
    ):
        with pytest.raises(SystemExit) as exit:
            cli.main(args)
        assert exit.value.code == 0
        assert shown in capsys.readouterr().out


def test_training_imports_no_plots_and_no_reproduce():
    code = (
        "import sys, bep_jax.commands.cli; "
        "assert not {'matplotlib', 'bep_jax.reproduce.all', 'aeon', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
