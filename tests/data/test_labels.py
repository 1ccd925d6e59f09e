"""Labels of every kind: classes, or an error that says what to do."""

import numpy as np
import pytest

from bep_jax import datasets
from bep_jax.data.labels import class_indices, index_labels, read_labels, read_text_labels


def pandas():
    return pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([b"cat", "dog"], ["cat", "dog"]),
        (np.array([b"cat", b"dog"]), ["cat", "dog"]),
        (np.array([0.0, 1.0, 2.0], np.float32), [0, 1, 2]),
        ([1, 1.0, np.float64(1), np.int8(1), np.array(1)], [1] * 5),
        (np.array([True, False]), [True, False]),
        (np.ma.array([1, 2]), [1, 2]),
        ((c for c in "ab"), ["a", "b"]),
        ([("a", 1), ("b", 2)], [("a", 1), ("b", 2)]),
    ],
)
def test_labels_as_plain_values(y, labels):
    found = read_labels(y, "t")
    assert found == labels and [type(label) for label in found] == [type(label) for label in labels]


def test_labels_of_pandas():
    series = pandas().Series
    assert read_labels(series(["b", "a"], dtype="category"), "t") == ["b", "a"]
    assert read_labels(series([1, 2], dtype="Int64"), "t") == [1, 2]
    for missing in (series([1, None], dtype="Int64"), series(["a", None]), series([1.0, None]), [pandas().NaT, "a"]):
        with pytest.raises(ValueError, match="t: y: a label is missing"):
            read_labels(missing, "t", "y")


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (["a", None], ValueError, "missing .NaN, None. at 1; leave out samples"),
        ([0.0, float("nan")], ValueError, "missing .* at 1"),
        (np.ma.array([1, 2], mask=[False, True]), ValueError, "missing .* at 1"),
        ([1.0, 2.5], ValueError, "y holds 2.5: numbers with a fraction are no classes"),
        ([1.0, float("inf")], ValueError, "y holds inf"),
        ([[1], [2]], TypeError, "labels must be hashable"),
        (np.zeros((2, 2)), ValueError, "one label per sample"),
        ("ab", TypeError, "must be a sequence of labels"),
        (3, TypeError, "must be a sequence of labels"),
    ],
)
def test_what_is_no_label(y, error, match):
    with pytest.raises(error, match=match):
        read_labels(y, "t", "y")


def test_a_target_is_no_label_wherever_it_comes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    with pytest.raises(ValueError, match=r"from_arrays: train_y holds .* something to predict"):
        datasets.from_arrays(x[:60], x[:60, 0], x[60:], x[60:, 0])
    with pytest.raises(ValueError, match="80 different labels for 80 samples, such as '0', are no classes"):
        datasets.from_arrays(x[:60], np.arange(60), x[60:], np.arange(60, 80))
    assert index_labels([*"abc"], who="t")[0] == ("a", "b", "c")  # a few samples may all differ


def test_columns_of_labels():
    place = "line {}".format
    assert read_text_labels(["1", "2.0", "1"], place, "t", "y") == [1, 2, 1]
    assert read_text_labels(["1", "none", "True"], place, "t", "y") == ["1", "none", "True"]
    assert read_text_labels(["True", "False"], place, "t", "y") == ["True", "False"]
    assert read_text_labels(["1_0", "2"], place, "t", "y") == ["1_0", "2"]
    for missing in ("", "NA", "nan", "?"):
        with pytest.raises(ValueError, match="t: y, line 1 has no label"):
            read_text_labels(["a", missing], place, "t", "y")


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (["b", "a"], "ab", [1, 0]),
        ([1, 0], "ab", [1, 0]),
        ([2, 1], "12", [1, 0]),
        (["2", 1], "12", [1, 0]),
        ([False, True], ("False", "True"), [0, 1]),
        ([True, False], ("no", "yes"), [1, 0]),
    ],
)
def test_labels_of_known_classes(labels, classes, indices):
    found = class_indices(labels, classes, "t")
    assert found.dtype == np.int32 and found.tolist() == indices


@pytest.mark.parametrize("labels", [["c"], [2, 0], [-1], [0, "a"], [("a",)]])
def test_labels_of_no_class(labels):
    with pytest.raises(ValueError, match=r"t: the label .* is none of the 2 classes a, b"):
        class_indices(labels, "ab", "t")
