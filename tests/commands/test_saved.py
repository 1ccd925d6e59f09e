"""The commands on saved networks: what they print and write, and what they say to mistakes."""

import csv
import json

import jax
import numpy as np
import pytest
from drawn import assert_same_encoder, draw, expansion, thermometer

import bep_jax as bep
from bep_jax import encode
from bep_jax.commands import cli
from bep_jax.commands.train import Train
from bep_jax.export import predict


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Three networks on twelve features, and samples; file names and all."""
    folder = tmp_path_factory.mktemp("ensemble")
    model = bep.mlp(num_inputs=24, widths=(9,), num_classes=3)
    encoder, params = thermometer(12, 2), draw(model, (3,))
    bep.save(folder / "net", model, params, encoder, ("red", "green", "blue"), temperature=(4.0, 5.0, 6.0))
    x = np.random.default_rng(5).integers(0, 100, (300, 3, 4)).astype(np.uint8)  # more than a batch
    np.save(folder / "x.npy", x)
    magic = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in x.shape)
    (folder / "x-idx3-ubyte").write_bytes(magic + x.tobytes())
    np.savetxt(folder / "x.csv", x.reshape(300, 12), delimiter=",", header=",".join("abcdefghijkl"), comments="")
    words = encoder(x.reshape(300, 12))
    scores = [np.asarray(bep.logits(model, jax.tree.map(lambda a, i=i: a[i], params), words)) for i in range(3)]
    return folder, np.stack(scores)


def names(scores):
    return [("red", "green", "blue")[i] for i in scores.argmax(axis=1)]


@pytest.mark.parametrize("file", ["x.npy", "x.csv", "x-idx3-ubyte"])
def test_predict(file, ensemble, tmp_path, capsys):
    folder, scores = ensemble
    args = ["predict", "--model", str(folder / "net"), "--input", str(folder / file)]
    assert cli.main(args) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == names(scores[0])
    assert "network 0 of 3; --ensemble" in err
    assert cli.main([*args, "--ensemble"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == names(scores.sum(axis=0))
    named = f"predict: {folder / file}: 300 samples, 12 columns named a, b, c, d, …, k, l\n"
    assert err == (named if file.endswith("csv") else "")
    assert cli.main([*args, "--network", "2", "--out", str(tmp_path / "y.txt")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "y.txt").read_text().splitlines() == names(scores[2])
    assert not (names(scores[0]) == names(scores[2]) == names(scores.sum(axis=0)))


def test_export(ensemble, tmp_path, capsys):
    folder, _ = ensemble
    saved = bep.load(folder / "net")

    def header(i, **options):
        return bep.to_c(
            saved.model, jax.tree.map(lambda a: a[i], saved.params), saved.encoder, classes=saved.classes, **options
        )

    args = ["export", "--model", str(folder / "net")]
    assert cli.main([*args, "--format", "c"]) == 0
    out, err = capsys.readouterr()
    assert out == header(0)
    assert "network 0 of 3; --network" in err
    place = tmp_path / "net.h"
    assert cli.main([*args, "--network", "2", "--prefix", "My net", "--out", str(place)]) == 0
    assert capsys.readouterr() == ("", "")
    assert place.read_text() == header(2, prefix="My net")
    assert cli.main([*args, "--network", "1", "--out", str(place)]) == 0
    assert place.read_text() == header(1)
    assert cli.main([*args, "--ensemble", "--out", str(place)]) == 0
    assert capsys.readouterr().err == ""
    assert place.read_text() == bep.to_c(saved.model, saved.params, saved.encoder, classes=saved.classes, ensemble=True)
    assert [path.name for path in tmp_path.iterdir()] == ["net.h"]


def test_export_takes_the_encoder_of_its_network(tmp_path, capsys):
    model = bep.mlp(num_inputs=8, widths=(5,), num_classes=2)
    encoders = (expansion(6, 8), expansion(6, 8, seed=1))
    bep.save(tmp_path / "net", model, draw(model, (2,)), encoders)
    assert cli.main(["export", "--model", str(tmp_path / "net"), "--network", "1"]) == 0
    params = jax.tree.map(lambda a: a[1], draw(model, (2,)))
    assert capsys.readouterr().out == bep.to_c(model, params, encoders[1])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "none"], "load: there is no file"),
        (["--network", "3"], "export: there is no network 3; the file holds 3"),
        (["--prefix", "?"], "to_c: prefix must have a letter"),
        (["--ensemble", "--network", "1"], "export: --ensemble goes with neither --network nor --learn"),
        (["--out", "none/net.h"], "export: --out wants a file in a folder that exists"),
    ],
)
def test_a_mistake_of_export_is_one_line_and_writes_nothing(args, message, ensemble, monkeypatch, capsys):
    folder, _ = ensemble
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert cli.main(["export", "--model", "net", "--out", "net.h", *args]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--model": "none"}, "load: there is no file"),
        ({"--model": "x.npy"}, "is no safetensors file"),
        ({"--input": "none.npy"}, "predict: there is no file"),
        ({"--input": "net"}, "is of no format that is read: .npy, .npz, .csv, .tsv, .ts, .idx, .gz"),
        ({"--input": "bad.npy"}, "is no .npy file of numbers"),
        ({"--input": "flat.npy"}, "must hold samples"),
        ({"--input": "empty.npy"}, "must hold samples"),
        ({"--input": "narrow.npy"}, "fitted on 12 features"),
        ({"--input": "text.csv"}, "text.csv, line 3: 3 fields, but 2 fields in line 1"),
        ({"--input": "x.ts"}, "the model was not trained on any"),
        ({"--network": "3"}, "there is no network 3; the file holds 3"),
        ({"--network": "1", "--ensemble": None}, "not both"),
        ({"--window": "2"}, "--window is for recurrent networks"),
        ({"--out": "none/y.txt"}, "--out wants a file in a folder that exists"),
        ({"--out": "net"}, "--out would replace net, which is read"),
        ({"--out": "./x.npy"}, "--out would replace x.npy, which is read"),
        ({"--input": "x.csv.gz"}, "predict: x.csv.gz is compressed; unpack it first"),
        ({"--input": "book.xlsx"}, "book.xlsx is of no format that is read"),
        ({"--input": "x.parquet"}, "x.parquet is of no format that is read"),
    ],
)
def test_a_mistake_is_one_line(options, message, ensemble, monkeypatch, capsys):
    folder, _ = ensemble
    monkeypatch.chdir(folder)
    (folder / "bad.npy").write_bytes(b"\x80\x04 no array")
    (folder / "text.csv").write_text("a,b\n1,2\n3,red,4\n")
    (folder / "x.ts").write_text("@data\n")
    (folder / "book.xlsx").write_bytes(b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml")
    (folder / "x.parquet").write_bytes(b"PAR1\x15\x04,\x15" + bytes(30) + b"PAR1")
    for name, shape in (("flat", (12,)), ("empty", (0, 12)), ("narrow", (2, 11))):
        np.save(folder / f"{name}.npy", np.ones(shape))
    options = {"--model": "net", "--input": "x.npy"} | options
    args = [text for name, value in options.items() for text in (name, value) if text is not None]
    assert cli.main(["predict", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_first_row_with_an_empty_field_is_a_sample(ensemble, capsys):
    folder, _ = ensemble
    (folder / "gaps.csv").write_text("\n".join([",".join(["", *["0.5"] * 11])] * 3))
    assert cli.main(["predict", "--model", str(folder / "net"), "--input", str(folder / "gaps.csv")]) == 0
    out, err = capsys.readouterr()
    assert len(out.split()) == 3 and "3 samples, no line of names" in err


def test_objects_in_an_array_are_not_loaded(ensemble, capsys):
    folder, _ = ensemble
    np.save(folder / "objects.npy", np.array([[{}]]), allow_pickle=True)
    assert cli.main(["predict", "--model", str(folder / "net"), "--input", str(folder / "objects.npy")]) == 2
    assert "is no .npy file of numbers" in capsys.readouterr().err


def test_bits_go_in_as_they_come():
    model = bep.mlp(num_inputs=33, widths=(4,), num_classes=2)
    bools = np.random.default_rng(2).random((6, 33)) < 0.5
    for encoder in (None, expansion(33, 33)):
        params = draw(model, (2,))
        saved = bep.Saved(model, params, encoder and (encoder, expansion(33, 33, seed=1)), None)
        wanted = predict.scores(saved, bools)
        np.testing.assert_array_equal(predict.scores(saved, np.where(bools, 1, -1)), wanted)
        np.testing.assert_array_equal(predict.scores(saved, encode.pack_host(bools)), wanted)
        np.testing.assert_array_equal(predict.scores(saved, bools, 0) + predict.scores(saved, bools, 1), wanted)
    for wrong in (np.ones((6, 33)), np.zeros((6, 33), int), bools[:, :32], np.full((6, 2), 2**32 - 1, np.uint32)):
        with pytest.raises(ValueError, match="predict"):
            predict.scores(saved._replace(encoder=None), wrong)


def test_recurrent_inputs(tmp_path):
    model = bep.rnn(num_inputs=8, state_width=6, output_width=5, num_classes=2)
    saved = bep.Saved(model, draw(model), thermometer(2, 4), ("up", "down"))
    lines = ["@problemName X", "@timestamps false", "@univariate false", "@dimension 2", "@equalLength false"]
    lines += ["@classLabel true up down", "@data", "1,20,3,40,5:9,80,7,60,5:up", "10,2,30,4:5,60,7,80:down"]
    (tmp_path / "x.ts").write_text("\n".join(lines) + "\n")
    read = lambda *args, **options: predict.read_samples(*args, **options).x  # noqa: E731
    whole = read(tmp_path / "x.ts", saved)
    assert whole.shape == (2, 5, 2)
    assert np.isnan(whole[1, 0]).all()
    last = read(tmp_path / "x.ts", saved, window=3)
    np.testing.assert_array_equal(last, whole[:, 2:])
    np.save(tmp_path / "x.npy", whole)
    np.testing.assert_array_equal(read(tmp_path / "x.npy", saved, window=3), last)
    words = saved.encoder(last)
    np.testing.assert_array_equal(predict.scores(saved, last), bep.logits(model, saved.params, words))
    # Images: a time step is as many pixels as the encoder has features.
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    (tmp_path / "x.idx").write_bytes(bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4)) + images.tobytes())
    np.testing.assert_array_equal(read(tmp_path / "x.idx", saved), images.reshape(2, 8, 2))
    # The window of training is taken without saying, from series of any length; --window overrules it.
    longer = np.pad(whole, ((0, 0), (4, 0), (0, 0)), constant_values=np.nan)
    for window, cut in ((3, last), (9, longer)):
        for name in ("x.ts", "x.npy"):
            found = read(tmp_path / name, saved._replace(window=window))
            np.testing.assert_array_equal(found, cut)
    np.testing.assert_array_equal(read(tmp_path / "x.ts", saved._replace(window=9), window=3), last)
    np.testing.assert_array_equal(read(tmp_path / "x.idx", saved._replace(window=8)), images.reshape(2, 8, 2))
    with pytest.raises(ValueError, match="images of 16 pixels, the model takes time steps of 4 x 2 pixels"):
        read(tmp_path / "x.idx", saved._replace(window=4))
    with pytest.raises(ValueError, match="images of 16 pixels, the model takes time steps of 3 pixels"):
        predict.read_samples(tmp_path / "x.idx", saved._replace(encoder=thermometer(3, 1)))
    with pytest.raises(ValueError, match="predict: window must be at least 1"):
        read(tmp_path / "x.ts", saved, window=0)
    with pytest.raises(ValueError, match="5 time steps of bits, the model takes 9"):
        read(tmp_path / "x.npy", saved._replace(encoder=None, window=9))


def test_train_writes_a_model_that_predicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Train, "_picture", lambda *args: None)  # plots are not the matter here
    data = bep.datasets.load("random-prototypes", num_train=60, num_test=40, num_inputs=33, width=35, seed=(0, 1))
    monkeypatch.setattr("bep_jax.commands.plan.datasets.load", lambda *args, **options: data)
    args = ["train", "--widths", "15", "--epochs", "1", "--seeds", "2", "--name", "run", "--no-progress"]
    assert cli.main(args) == 0
    result = json.loads((tmp_path / "runs" / "run" / "result.json").read_text())
    path = tmp_path / "runs" / "run" / "model.safetensors"
    saved = bep.load(path)
    assert saved.classes == data.classes
    assert_same_encoder(saved.encoder, data.encoder)
    for i in range(2):
        found = np.argmax(bep.logits(saved.model, jax.tree.map(lambda a, i=i: a[i], saved.params), data.test_x[i]), 1)
        assert np.mean(found == data.test_y[i]) == result["test_accuracy"][i]
    capsys.readouterr()
    assert cli.main(["summary", "--model", str(path)]) == 0
    out = capsys.readouterr().out
    assert str(bep.summary(saved.model)) in out
    assert f"{path.stat().st_size:,} bytes, 2 networks" in out
    assert "encoder: one a network, expansion to 35 bits" in out
    assert "classes: 0, 1, 2" in out


def test_evaluate_says_what_was_right(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = bep.mlp(num_inputs=8, widths=(5,), num_classes=2)
    params = draw(model, (3,))
    bep.save("net", model, params, classes=("no", "yes"))
    x = np.random.default_rng(0).random((40, 8)) < 0.5
    found = predict.scores(bep.load("net"), x, 1).argmax(axis=1)
    y = np.where(np.arange(40) < 10, 1 - found, found)  # ten are wrong
    np.savez("labelled.npz", test_x=x, test_y=np.array(["no", "yes"])[y])
    args = ["evaluate", "--model", "net", "--input", "labelled.npz"]
    assert cli.main([*args, "--network", "1", "--json", "numbers.json"]) == 0
    assert "accuracy           75.00 %  (40 samples)" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert np.trace(numbers["confusion"]) == 30 and np.sum(numbers["confusion"]) == 40
    assert numbers["recall"][1] == numbers["confusion"][1][1] / np.sum(y == 1)
    assert cli.main(args) == 0
    assert "mean ± std of 3 networks" in capsys.readouterr().out
    np.save("bare.npy", x)
    assert cli.main([*args[:-1], "bare.npy"]) == 2
    assert "evaluate: bare.npy has no labels" in capsys.readouterr().err


def test_scores_and_probabilities(ensemble, tmp_path, capsys):
    folder, scores = ensemble
    args = ["predict", "--input", str(folder / "x.npy"), "--scores", "--model"]
    for flags, wanted, temperature in ((["--network", "1"], scores[1], 5), (["--ensemble"], scores.sum(axis=0), 15)):
        assert cli.main([*args, str(folder / "net"), *flags]) == 0
        first, *rows = csv.reader(capsys.readouterr().out.splitlines())
        colours = ("red", "green", "blue")
        assert first == ["class", *(f"{kind} {colour}" for kind in ("score", "probability") for colour in colours)]
        assert [row[0] for row in rows] == names(wanted)
        np.testing.assert_array_equal([[int(value) for value in row[1:4]] for row in rows], wanted)
        exact = np.exp(wanted / temperature) / np.exp(wanted / temperature).sum(axis=1, keepdims=True)
        np.testing.assert_allclose([[float(value) for value in row[4:]] for row in rows], exact, rtol=1e-5)
    saved = bep.load(folder / "net")
    bep.save(tmp_path / "cold", saved.model, saved.params, saved.encoder, saved.classes)
    assert cli.main([*args, str(tmp_path / "cold")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("class,score red,score green,score blue\n")
    assert "no probabilities" in err
