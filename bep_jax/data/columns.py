"""The columns of a table as features: which there were in training, and how a new table becomes the same features.

A column of numbers is one feature. A column of text is one feature of 0 and 1 for each of its values.

Axis letters: n samples, F features.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bep_jax.data.tables import Table, is_missing, number, numbers, without_row_numbers

_MOST_VALUES = 100  # of a column of text
_FEW = 10  # numbers that may go up one by one without a reason


class Column(NamedTuple):
    """One column of a table."""

    name: str
    values: tuple[str, ...] | None = None  # of text, each of them a feature; None: a column of numbers


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns that a network was trained on, in order, and the one that held the label.

    Attributes:
      features: the columns that became features.
      label: the name of the column with the label; None where labels came apart.
    """

    features: tuple[Column, ...]
    label: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """F names: that of the column, for text with its value: "colour = red"."""
        names: list[str] = []
        for name, values in self.features:
            names += [name] if values is None else [f"{name} = {value}" for value in values]
        return tuple(names)

    def encode(self, table: Table, who: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """A table with these columns, in any order and among others, as features.

        Returns:
          float64 ``[n, F]``, NaN where a value is missing, and notes: which columns were ignored or lack values.

        Raises:
          ValueError: a column is missing, or holds text in place of numbers; the message names file, column and line.
        """
        notes: list[str] = []
        if table.names is None:
            if len(table.columns) != len(self.features):
                raise ValueError(
                    f"{who}: {table.source} has {len(table.columns)} columns and no line of names; the model takes "
                    f"{len(self.features)}: {_listed([column.name for column in self.features])}."
                )
            found = dict(zip((column.name for column in self.features), table.columns, strict=True))
        else:
            found = dict(zip(table.names, table.columns, strict=True))
            wanted = [column.name for column in self.features]
            missing = [name for name in wanted if name not in found]
            if missing:
                raise ValueError(
                    f"{who}: {table.source} lacks the column{'s' * (len(missing) > 1)} {_listed(missing)}."
                )
            ignored = [name for name in table.names if name not in wanted]
            if ignored:
                notes.append(f"{table.source}: ignored the column{'s' * (len(ignored) > 1)} {_listed(ignored)}")
        parts = []
        lacking: dict[str, int] = {}
        for name, values in self.features:
            if values is None:
                parts.append(_numbers(table, name, found[name], who)[:, None])
                lacking[name] = int(np.isnan(parts[-1]).sum())
                continue
            texts = _texts(found[name])
            parts.append(_one_hot(texts, values))
            if unseen := sorted({text for text in texts if text is not None} - set(values)):
                notes.append(
                    f"{table.source}: the column {name} holds what training had not seen, as none of its values: "
                    f"{_listed([repr(text) for text in unseen])}"
                )
            lacking[name] = texts.count(None)
        if found_lacking := [f"{name} ({count:,})" for name, count in lacking.items() if count]:
            notes.append(f"{table.source}: values are missing, all their bits are 0: {_listed(found_lacking)}")
        return np.concatenate(parts, axis=1), tuple(notes)


def fit_columns(table: Table, label: str | None, who: str) -> tuple[Columns, tuple[str, ...]]:
    """What the columns of a training table are.

    Returns:
      The `Columns`, and notes: which columns are text, and which of them were left out, having too many values to be a
      feature each.

    Raises:
      ValueError: no such label, no column left, or one of numbers that holds text in a few places.
    """
    assert table.names is not None
    if label is not None and label not in table.names:
        raise ValueError(f"{who}: {table.source} has no column {label!r}; it has {_listed(list(table.names))}.")
    features: list[Column] = []
    notes: list[str] = []
    text: list[str] = []
    for name, column in zip(table.names, table.columns, strict=True):
        if name == label:
            continue
        if (counted := numbers(column)) is not None:
            features.append(Column(name))
            if len(counted) > _FEW and np.array_equal(np.diff(counted), np.ones(len(counted) - 1)):
                notes.append(f"{table.source}: the column {name} counts the rows, and is a feature like others")
            continue
        found = [number(value) for value in column]
        others = [str(value).strip() for value, is_number in zip(column, found, strict=True) if is_number is None]
        count = sum(value is not None and value == value for value in found)
        if count >= len(others):
            row = found.index(None)
            raise ValueError(
                f"{who}: {table.source}, {table.place(row)}: {others[0]!r} in column {name!r} is no number, {count:,} "
                "others there are."
            )
        else:
            values = sorted({text for text in _texts(column) if text is not None})
            if len(values) > min(_MOST_VALUES, max(2, len(column) // 2)):
                notes.append(f"{table.source}: left out the column {name}, which holds {len(values):,} different texts")
            else:
                text.append(f"{name} ({len(values)}, such as {values[0]!r})")
                features.append(Column(name, tuple(values)))
    if not features:
        raise ValueError(f"{who}: {table.source} has no column to learn from beside the label.")
    if text:
        notes.append(f"{table.source}: of columns of text every value is a feature: {_listed(text)}")
    return Columns(tuple(features), label), tuple(notes)


def column(table: Table, name: str) -> Sequence[Any] | None:
    """The values of a column; None where there is none of this name."""
    if table.names is None or name not in table.names:
        return None
    return table.columns[table.names.index(name)]


def is_frame(x: Any) -> bool:
    """Whether this is a table of a library such as pandas or polars."""
    return hasattr(x, "columns") and hasattr(x, "shape") and hasattr(x, "__getitem__") and not hasattr(x, "dtype")


def of_frame(frame: Any, source: str) -> Table:
    """A table of pandas or polars."""
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"from_arrays: {source} has two columns {twice[0]!r}; names of columns must differ.")
    columns = tuple(_values(np.asarray(frame[name])) for name in frame.columns)
    return without_row_numbers(Table(source, tuple(names), columns, None), "from_arrays")


def _values(column: np.ndarray) -> list[Any]:
    """Plain Python values; dates and durations as text, and not, where they are in nanoseconds, as huge integers."""
    if column.dtype.kind not in "mM":
        return column.tolist()
    return [None if np.isnat(value) else str(value) for value in column]


def _numbers(table: Table, name: str, column: Sequence[Any], who: str) -> np.ndarray:
    found = numbers(column)
    if found is None:
        wrong = next(i for i, value in enumerate(column) if number(value) is None)
        raise ValueError(
            f"{who}: {table.source}, {table.place(wrong)}: {str(column[wrong])!r} in column {name!r} is no number."
        )
    return found


def _one_hot(texts: Sequence[str | None], values: tuple[str, ...]) -> np.ndarray:
    """float64 ``[n, V]``: 1 at the value, all NaN where it is missing; a value not seen in training is 0 everywhere."""
    place = {value: i for i, value in enumerate(values)}
    made = np.zeros((len(texts), len(values)))
    for row, text in enumerate(texts):
        if text is None:
            made[row] = np.nan
        elif text in place:
            made[row, place[text]] = 1.0
    return made


def _texts(column: Sequence[Any]) -> list[str | None]:
    return [None if _no_text(value) else str(value).strip() for value in column]


def _no_text(value: Any) -> bool:
    found = number(value) if isinstance(value, str) else None
    return is_missing(value) or (found is not None and found != found)


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 12 else [*names[:10], f"… ({len(names)} in all)"]
    return ", ".join(shown)
