"""Series from .ts files: what people write in them, and where they end."""

import numpy as np
import pytest

from bep_jax import datasets
from bep_jax.data.ts_file import read_ts

HEAD = "@problemName W\n@timeStamps false\n@univariate true\n@equalLength true\n@classLabel true a B\n@data\n"
ROWS = ["1,2,3:a", "4,?,6:B", "7,NaN,9:b"]


def write(folder, text):
    (folder / "w.ts").write_text(text, encoding="utf-8")
    return folder / "w.ts"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "\n".join(ROWS),
        HEAD + "\n".join(ROWS) + "\n\n \n",
        HEAD + "\n# a word\n\n".join(ROWS) + "\n# end",
        "# first\n\n" + HEAD.replace("@problemName W\n", "") + "\r\n".join(ROWS) + "\r\n",
        "\ufeff" + HEAD.lower().replace(" a b", " a B") + "1 , 2 , 3 : a\n" + "\n".join(ROWS[1:]),
        HEAD.replace("@univariate true", "@dimensions 1").replace("@equalLength true\n", "") + "\n".join(ROWS),
        HEAD.replace("@univariate true\n", "") + "\n".join(ROWS),
    ],
)
def test_what_is_read(text, tmp_path):
    found = read_ts(write(tmp_path, text))
    np.testing.assert_array_equal(np.stack(found.series)[..., 0], [[1, 2, 3], [4, np.nan, 6], [7, np.nan, 9]])
    assert found.labels == ["a", "B", "B"]


@pytest.mark.parametrize(
    ("names", "label"),
    [("@classLabel false\n", ""), ("", ""), ("@classLabel true a b\n", ":?"), ("@classLabel true a b\n", "")],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_series_without_labels_are_read_and_not_trained_on(names, label, channels, tmp_path):
    rows = "\n".join(":".join(["1,2,3"] * channels) + label for _ in range(3))
    text = f"@univariate {'true' if channels == 1 else 'false'}\n@dimensions {channels}\n{names}@data\n{rows}\n"
    found = read_ts(write(tmp_path, text))
    assert found.labels == [None] * 3 and found.series[0].shape == (3, channels)
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"W_{part}.ts").write_text(text)
    with pytest.raises(ValueError, match=r"W_TRAIN\.ts has no labels"):
        datasets.load("ucr/W", data_dir=tmp_path)


def test_labels_that_differ_in_case_alone_and_labels_that_look_missing(tmp_path):
    text = "@univariate true\n@classLabel true a A nan ?\n@data\n1:a\n2:A\n3:nan\n4:?\n"
    assert read_ts(write(tmp_path, text)).labels == ["a", "A", "nan", "?"]


def test_series_are_the_numbers_that_they_spell(tmp_path):
    values = np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25)
    path = write(tmp_path, "@univariate true\n@data\n" + ",".join(map(repr, values.tolist())) + "\n")
    np.testing.assert_array_equal(read_ts(path).series[0][:, 0], values)
