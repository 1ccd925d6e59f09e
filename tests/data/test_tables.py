"""Tables from files and frames: no sample lost or invented, every mistake named with its line."""

import gzip
import os

import numpy as np
import pytest

from bep_jax import datasets
from bep_jax.data.columns import Column, Columns, fit_columns
from bep_jax.data.tables import described, number, read_table


def write(folder, text, name="t.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


ROWS = "0.1,2\n-3,4e1\n"


@pytest.mark.parametrize(
    ("text", "names", "columns"),
    [
        (ROWS, None, (("0.1", "-3"), ("2", "4e1"))),
        ("NA,2\n-3,4\n", None, (("NA", "-3"), ("2", "4"))),
        ("NA,\n", None, (("NA",), ("",))),
        ('"0.1", "2"\n"-3","4e1"\n', None, (("0.1", "-3"), ("2", "4e1"))),
        ("0,1\n" + ROWS, ("0", "1"), (("0.1", "-3"), ("2", "4e1"))),  # as pandas names columns
        ("1,0\n" + ROWS, None, (("1", "0.1", "-3"), ("0", "2", "4e1"))),
        ("0\n1\n", None, (("0", "1"),)),
        ("a,b\n" + ROWS, ("a", "b"), (("0.1", "-3"), ("2", "4e1"))),
        ('"a, b","c ""d"""\n' + ROWS, ("a, b", 'c "d"'), (("0.1", "-3"), ("2", "4e1"))),
        ("a\tb\n0,1\t2\n", ("a", "b"), (("0.1",), ("2",))),
        ("a;b\n0,1;red, or blue\n-3,25e1;,\n", ("a", "b"), (("0.1", "-3.25e1"), ("red, or blue", ","))),
        ("\n\n\n".join(("a,b", "0.1,2", "-3,4e1")), ("a", "b"), (("0.1", "-3"), ("2", "4e1"))),
        ("a,b\r\n0.1,2\r\n-3,4e1\r\n", ("a", "b"), (("0.1", "-3"), ("2", "4e1"))),
        (",a\n0,0.1\n1,-3\n", ("a",), (("0.1", "-3"),)),  # pandas' index
        ('"","a"\n"1","0.1"\n"2","-3"\n', ("a",), (("0.1", "-3"),)),  # R's row names
        ('a\n\n""\n \n2\n', ("a",), (("", "2"),)),  # a blank line is none, an empty field is one
        (",a\n7,0.1\n2,-3\n", ("a",), (("0.1", "-3"),)),  # of a table that was shuffled or cut
        ("Unnamed: 0,a\n0,0.1\n1,-3\n", ("a",), (("0.1", "-3"),)),  # an index that pandas read as a column
        ("Unnamed: 0,a\n5,0.1\n5,-3\n", ("Unnamed: 0", "a"), (("5", "5"), ("0.1", "-3"))),
        ("sep=;\na;b\n0,1;2\n", ("a", "b"), (("0.1",), ("2",))),  # as Excel states it
        ("sep=,\r\n0.1,2\r\n", None, (("0.1",), ("2",))),
        ("a,b,,\n0.1,2,,\n-3,4e1,,\n", ("a", "b"), (("0.1", "-3"), ("2", "4e1"))),  # commas at the ends of lines
        ("a,b\r1,2\r", ("a", "b"), (("1",), ("2",))),
        ("a,b\n,\n,\n", ("a", "b"), (("", ""), ("", ""))),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_is_read(text, names, columns, encoding, tmp_path):
    table = read_table(write(tmp_path, text, encoding=encoding))
    assert (table.names, table.columns) == (names, columns)
    assert table.num_rows == len(table.lines) == len(columns[0])


def test_encodings_and_notes(tmp_path):
    path = write(tmp_path, "Länge,b\n1,2\n", encoding="cp1252")
    table = read_table(path)
    assert table.names == ("Länge", "b") and table.notes == (f"{path}: not UTF-8, read as Windows-1252",)
    assert described(table) == f"{path}: 1 sample, 2 columns named Länge, b"
    assert (
        described(read_table(write(tmp_path, ROWS)))
        == f"{path}: 2 samples, no line of names, 2 columns by their places"
    )
    table = read_table(write(tmp_path, "a,b\n1,2\n,\n3,4\n,\n"))
    assert table.num_rows == 4 and table.notes == (f"{path}: a sample without any value in line 3, 5",)
    table = read_table(write(tmp_path, ",a\n7,1\n".replace("7", "0")))
    assert table.notes == (f"{path}: left out column 1, row numbers without a name",)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "t.csv is empty"),
        (b"\n \n", "t.csv is empty"),
        (b"a,b\n", "a line of names and no samples"),
        (b"1,2\n1,2,3\n", "line 2: 3 fields, but 2 fields in line 1"),
        (b"1,2\n\n1\n", "line 3: 1 field, but 2 fields in line 1"),
        (b'a,b\n"1\n2",3\n4\n', "line 4: 1 field, but 2 fields in line 1"),
        (b'1,2\n"3,4\n5,6\n', "line [34]: unexpected end of data"),
        (b'1,2\n"3"4,5\n', "line 2: ',' expected after '\"'"),
        (b"1,red\n1,2\n", "line 1 is neither names nor a sample: 'red' is no number, '1' is"),
        (b"a,a\n1,2\n", "line 1: the name 'a' stands twice"),
        (b",b\n5.5,2\n", "column 1 has no name"),
        (b",b\nMazda,2\nFiat,3\n", "column 1 has no name in the first line, and holds no row numbers"),
        (b"1 2.5 3\n4 5 6\n", "line 2: '4 5 6' is one field of several numbers; separate them by commas"),
        (b"a b\n4 5\n", "line 2: '4 5' is one field of several numbers"),
        (b"1,2\n3,\x00\n", "is no table: line 2 is not text"),
        (b"1,2\n\x81\x8d,4\n", "is no table: line 2 is not text"),
        (b"\xff\xfe1", "is no table: line 1 is not text"),
        (gzip.compress(b"1,2\n" * 30, mtime=0), "is no table"),
        (b"PK\x03\x04" + bytes(30), "is no table"),
    ],
)
def test_what_is_refused(content, match, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        read_table(tmp_path / "t.csv", who="predict")
    assert str(caught.value).startswith(f"predict: {tmp_path / 't.csv'}")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_what_never_ends_is_not_read(device):
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    with pytest.raises(OSError, match=f"load: {device} cannot be read: it is a device"):
        read_table(device)


def test_numbers():
    for text, value in (("1_0", None), ("0x1", None), ("1,5", None), ("TRUE", 1.0), ("false", 0.0), (" -1e-3 ", -1e-3)):
        assert number(text) == value
    for text in ("", "NA", "nan", "NULL", "None", "?", "<NA>", "#N/A", "-"):
        assert np.isnan(number(text))
    assert number("0.1") == 0.1 and number("1.7976931348623157e308") == 1.7976931348623157e308


TABLE = "size,colour,flag,species\n" + "".join(
    f"{i / 10},{('red', 'blue', 'NA')[i % 3]},{i % 2 == 0},{'ab'[i % 2]}\n" for i in range(40)
)


def test_load(tmp_path):
    path = write(tmp_path, TABLE)
    data = datasets.load("t.csv", label="species", data_dir=tmp_path, raw=True)
    assert data.columns == Columns((Column("size"), Column("colour", ("blue", "red")), Column("flag")), "species")
    assert data.columns.names == ("size", "colour = blue", "colour = red", "flag")
    assert data.classes == ("a", "b") and len(data.train_y) == 32 and np.bincount(data.test_y).tolist() == [4, 4]
    x = np.concatenate([data.train_x, data.test_x])
    whole = x[np.argsort(x[:, 0])]
    np.testing.assert_array_equal(whole[:, 0], np.arange(40) / 10)
    np.testing.assert_array_equal(whole[:3, 1:], [[0, 1, 1], [1, 0, 0], [np.nan, np.nan, 1]])
    assert data.notes == (
        f"{path}: 40 samples, 4 columns named size, colour, flag, species",
        f"{path}: of columns of text every value is a feature: colour (2, such as 'blue')",
        "test part: 8 of 40 samples, stratified, drawn with seed 0",
    )
    encoded = datasets.load(str(path), label="species")
    assert encoded.encoder.counts.tolist() == [15, 1, 1, 1] and encoded.num_inputs == 18
    other = datasets.load(str(path), label="species", seed=1, raw=True)
    assert not np.array_equal(data.test_x[:, 0], other.test_x[:, 0])
    both = datasets.load(str(path), label="species", seed=(0, 1), num_bits=4)
    assert both.train_x.shape == (2, 32, 1) and len(both.encoder) == 2
    with pytest.raises(ValueError, match="has no column 'kind'; it has size, colour, flag, species"):
        datasets.load(str(path), label="kind")


def test_a_test_file_of_its_own(tmp_path):
    path = write(tmp_path, TABLE)
    test = write(tmp_path, "species,extra,flag,size,colour\nb,x,true,7.5,green\nc,y,,,blue\n", "test.csv")
    data = datasets.load(str(path), label="species", test=test, raw=True)
    assert data.classes == ("a", "b", "c") and data.test_y.tolist() == [1, 2] and len(data.train_y) == 40
    np.testing.assert_array_equal(data.test_x, [[7.5, 0, 0, 1], [np.nan, 1, 0, np.nan]])
    unseen = f"{test}: the column colour holds what training had not seen, as none of its values: 'green'"
    lacking = f"{test}: values are missing, all their bits are 0: size (1), flag (1)"
    assert data.notes[-3:] == (f"{test}: ignored the column extra", unseen, lacking)
    for text, match in (
        ("species,flag,size\na,1,1\n", "lacks the column colour"),
        ("flag,size,colour\n1,1,red\n", "has no column 'species'; it has flag, size, colour"),
        ("species,flag,size,colour\na,1,big,red\n", "test.csv, line 2: 'big' in column 'size' is no number"),
        ("species,flag,size,colour\na,1,1,red\n,1,1,red\n", "column 'species', line 3 has no label"),
        ("species,flag,size,colour\n1.5,1,1,red\n", "numbers with a fraction are no classes"),
    ):
        write(tmp_path, text, "test.csv")
        with pytest.raises(ValueError, match=match):
            datasets.load(str(path), label="species", test=test)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda text: text.replace("2.5,", "much,"),
            "line 27: 'much' in column 'size' is no number, 39 others there are",
        ),
        (lambda text: text.replace(",a\n", ",\n", 1), "column 'species', line 2 has no label"),
        (lambda text: text.replace(",a\n", ",0.5\n").replace(",b\n", ",2\n"), "holds 0.5: numbers with a fraction"),
        (lambda text: text.replace(",a\n", ",b\n"), r"column 'species': wanted at least two classes, got \['b'\]"),
    ],
)
def test_mistakes_in_a_training_table(change, match, tmp_path):
    path = write(tmp_path, change(TABLE))
    with pytest.raises(ValueError, match=match) as caught:
        datasets.load(str(path), label="species")
    assert str(path) in str(caught.value)


def test_columns_of_text_with_too_many_values_are_left_out_and_said(tmp_path):
    path = write(tmp_path, "name,x,y\n" + "".join(f"n{i},{i},{i % 2}\n" for i in range(30)))
    data = datasets.load(str(path), label="y")
    assert data.columns.names == ("x",) and data.classes == ("0", "1")
    assert data.notes[1:3] == (
        f"{path}: left out the column name, which holds 30 different texts",
        f"{path}: the column x counts the rows, and is a feature like others",
    )
    with pytest.raises(ValueError, match="has no column to learn from beside the label"):
        datasets.load(str(write(tmp_path, "name,y\n" + "".join(f"n{i},{i % 2}\n" for i in range(30)))), label="y")


@pytest.mark.parametrize(
    ("name", "options", "error", "match"),
    [
        ("t.csv", {}, ValueError, "name the column that holds the label"),
        ("t.csv", {"label": 3}, TypeError, "label must be str, got 3"),
        ("t.csv", {"label": "l", "test_fraction": 1.0}, ValueError, "test_fraction must be between 0 and 1"),
        ("t.csv", {"label": "l", "test_fraction": "0.2"}, TypeError, "test_fraction must be float or int"),
        ("t.csv", {"label": "l", "test": "t.csv", "test_fraction": 0.1}, ValueError, "not both"),
        ("t.csv", {"label": "l", "window": 3}, ValueError, "leave out window"),
        ("t.csv.gz", {"label": "l"}, ValueError, "load: t.csv.gz is compressed; unpack it first"),
        ("t.csv", {"label": "l", "test": "t.TSV.XZ"}, ValueError, "t.TSV.XZ is compressed; unpack it first"),
        ("t.npz.zip", {}, ValueError, "t.npz.zip is compressed"),
        ("none.csv", {"label": "l"}, FileNotFoundError, "load: there is no file none.csv"),
        ("digits", {"label": "l"}, ValueError, "label belong to tables"),
    ],
)
def test_arguments_of_load(name, options, error, match, tmp_path):
    write(tmp_path, "a,l\n1,x\n2,y\n3,x\n")
    (tmp_path / "t.TSV.XZ").touch()
    with pytest.raises(error, match=match):
        datasets.load(name, data_dir=tmp_path, **options)


def frame(kind, columns):
    return pytest.importorskip(kind, reason=f"{kind} is not installed").DataFrame(columns)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_frames(kind):
    train = frame(kind, {"x": [1.0, None, 3.0, 4.0], "kind": ["u", "v", None, "u"], "n": [True, False, True, True]})
    test = frame(kind, {"n": [False], "kind": ["w"], "more": [0], "x": [2.5]})
    labels = frame(kind, {"y": ["b", "a", "b", "a"]})["y"]
    data = datasets.from_arrays(train, labels, test, ["a"], raw=True)
    assert data.columns.names == ("x", "kind = u", "kind = v", "n") and data.classes == ("a", "b")
    nan = np.nan
    np.testing.assert_array_equal(data.train_x, [[1, 1, 0, 1], [nan, 0, 1, 0], [3, nan, nan, 1], [4, 1, 0, 1]])
    np.testing.assert_array_equal(data.test_x, [[2.5, 0, 0, 0]])
    assert data.notes == (
        "train_x: of columns of text every value is a feature: kind (2, such as 'u')",
        "test_x: ignored the column more",
        "test_x: the column kind holds what training had not seen, as none of its values: 'w'",
    )
    with pytest.raises(ValueError, match="from_arrays: test_x lacks the column kind"):
        datasets.from_arrays(train, labels, frame(kind, {"x": [1.0], "n": [True]}), ["a"])
    with pytest.raises(TypeError, match="one of train_x and test_x is a table"):
        datasets.from_arrays(train, labels, np.zeros((1, 3)), ["a"])


def test_columns_without_names_are_taken_in_order(tmp_path):
    columns, _ = fit_columns(read_table(write(tmp_path, TABLE), ["species"]), "species", "load")
    x, (note,) = columns.encode(read_table(write(tmp_path, "1,,1\n2,?,0\n")), "predict")
    np.testing.assert_array_equal(x, [[1, np.nan, np.nan, 1], [2, np.nan, np.nan, 0]])
    assert note.endswith("values are missing, all their bits are 0: colour (2)")
    with pytest.raises(ValueError, match="has 2 columns and no line of names; the model takes 3: size, colour, flag"):
        columns.encode(read_table(write(tmp_path, "1,2\n")), "predict")
