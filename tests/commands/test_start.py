"""`train --from`: training goes on from a file, with its network, encoder, columns and classes."""

import json

import jax
import numpy as np
import pytest
from drawn import draw

import bep_jax as bep
from bep_jax import encode
from bep_jax.commands import cli, train
from bep_jax.data.columns import Column, Columns

COLUMNS = Columns((Column("height"), Column("colour", ("blue", "green", "red")), Column("width")), "kind")
CLASSES = ("ash", "birch", "cedar")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A network of five features, saved with and without hidden weights, and a table of two of its classes."""
    folder = tmp_path_factory.mktemp("start")
    rng = np.random.default_rng(0)
    encoder = encode.fit_thermometer(rng.random((40, 5)), 3)
    model = bep.mlp(num_inputs=15, widths=(9, 5), num_classes=3)
    params = model.init(jax.random.key(1), 20.0)
    for hidden, name in ((True, "hidden"), (False, "signs")):
        bep.save(folder / name, model, params, encoder, CLASSES, hidden=hidden, columns=COLUMNS)
    lines = ["width,kind,colour,age,height"]
    for i in range(40):
        kind, big = ("cedar", 1) if i % 2 else ("ash", 0)
        lines.append(f"{rng.random() + big:.3f},{kind},{'red' if i % 3 else 'green'},{i},{rng.random() - big:.3f}")
    (folder / "own.csv").write_text("\n".join(lines) + "\n")
    return folder, model, params, encoder


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What `fit` is called with."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def fit(*args, **options):
        calls.append((*args, options))
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", fit)
    return calls


def command(folder, name, *more):
    return ["train", "--from", str(folder / name), "--dataset", str(folder / "own.csv"), "--no-progress", *more]


def test_goes_on(places, monkeypatch, tmp_path, capsys):
    folder, model, params, _ = places
    monkeypatch.chdir(tmp_path)
    args = command(folder, "hidden", "--epochs", "3", "--seeds", "2", "--batch-size", "8", "--validation", "0")
    assert cli.main([*args, "--hidden", "--name", "own"]) == 0
    out, err = capsys.readouterr()
    assert f"goes on from {folder / 'hidden'}: 1 network, hidden weights" in out and "scale" not in out
    assert "ignored the column age" in err
    saved = bep.load("runs/own/model.safetensors")
    assert (saved.model, saved.classes, saved.columns) == (model, CLASSES, COLUMNS)
    np.testing.assert_array_equal(saved.params.classifier[1], params.classifier)
    far = [np.abs(np.asarray(h) - np.asarray(p)).max() for h, p in zip(saved.params.hidden, params.hidden, strict=True)]
    assert 0 < max(far) <= 2 * (8 + 1) * 4 * 3, "near the weights that it started from"
    result = json.loads((tmp_path / "runs/own/result.json").read_text())
    assert result["config"]["from"] == str(folder / "hidden")
    assert cli.main(["train", "--name", "own", "--resume", "--epochs", "4"]) == 0, "the flags come back"


def test_the_file_says_what_is_trained(places, asked):
    folder, model, params, encoder = places
    assert cli.main(command(folder, "hidden", "--group-size", "3", "1")) == 130
    assert cli.main(command(folder, "signs", "--scale", "30", "--label", "kind")) == 130
    (found, rule, data, options), (_, _, _, from_signs) = asked
    assert (found, rule.group_size, data.classes) == (model, (3, 1), CLASSES)
    assert set(data.train_y) == {0, 2}, "as the file counts its classes"
    np.testing.assert_array_equal(options["params"].hidden[0], params.hidden[0])
    np.testing.assert_array_equal(np.abs(from_signs["params"].hidden[0]), 1)
    assert options["scale"] is None and from_signs["scale"] == (30, 30)
    x = np.zeros((1, 5))
    np.testing.assert_array_equal(data.encoder(x), encoder(x))


@pytest.mark.parametrize(
    ("shape", "steps", "kind"),
    [((8, 8), None, "conv"), (None, None, "mlp"), (None, 8, "rnn")],
)
def test_networks_of_every_kind(shape, steps, kind, asked, tmp_path):
    raw = bep.datasets.load("digits", raw=True, window=steps)
    encoder = encode.fit_median(raw.train_x)
    if kind == "conv":
        model = bep.conv(image_shape=shape, filters=((5, 3, 2), (4, (2, 3), 1)), widths=(6,), num_classes=10)
    elif kind == "mlp":
        model = bep.mlp(num_inputs=64, widths=(6, 5), num_classes=10)
    else:
        model = bep.rnn(num_inputs=8, state_width=7, output_width=5, num_classes=10)
    params = draw(model, (5,))
    bep.save(tmp_path / "net", model, params, encoder, raw.classes, hidden=True, window=steps)
    groups = ["--group-size", "2"] if kind == "conv" else []
    assert cli.main(["train", "--from", "net", "--dataset", "digits", "--no-progress", *groups]) == 130
    ((found, _, data, options),) = asked
    assert found == model and options["params"].classifier.shape == (5, 10, 1), "a network a seed"
    assert data.train_x.shape[1:] == ((2,) if steps is None else (8, 1))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("hidden", "--scale", "9"), "has hidden weights of its own; leave out --scale"),
        (("signs",), "holds signs alone; give --scale"),
        (("hidden", "--widths", "9"), "those of the file; leave out --widths"),
        (("hidden", "--input-bits", "9"), "those of the file; leave out --input-bits"),
        (("three", "--seeds", "2"), "holds 3 networks, one for each seed: give --seeds 3"),
        (("hidden", "--dataset", "digits"), "Thermometer: fitted on 5 features"),
        (("hidden", "--dataset", "other.csv"), "lacks the columns height, colour"),
        (("hidden", "--dataset", "oak.csv"), "the label 'oak' is none of the 3 classes ash, birch, cedar"),
        (("bare", "--scale", "9", "--label", "kind"), "takes 15 bits a sample, the data have"),
        (("nothing",), "there is no file"),
    ],
)
def test_a_mistake_is_one_line(args, message, places, asked, tmp_path, capsys):
    folder, model, params, encoder = places
    if args[0] == "three":
        bep.save(folder / "three", model, jax.tree.map(lambda a: np.stack([a] * 3), params), encoder, hidden=True)
    if args[0] == "bare":
        bep.save(folder / "bare", model, params)
    (tmp_path / "other.csv").write_text("width,kind\n" + "1,ash\n2,birch\n" * 9)
    (tmp_path / "oak.csv").write_text("width,kind,colour,height\n" + "1,ash,red,1\n2,oak,red,1\n" * 9)
    assert cli.main(command(folder, *args)) != 130
    assert message in capsys.readouterr().err.splitlines()[-1] and not asked
