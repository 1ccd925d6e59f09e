"""A data set from a table in a file: a label column, a test part cut off by seed or in a file of its own.

Axis letters: n samples, F features.
"""

import os
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from bep_jax.data import files
from bep_jax.data.columns import Columns, column, fit_columns
from bep_jax.data.dataset import Parts
from bep_jax.data.folds import held_out
from bep_jax.data.labels import index_labels, read_text_labels
from bep_jax.data.tables import Table, described, read_table


class LabelledTable(NamedTuple):
    """What `load_table` reads: a training part, and a test part where it has a file."""

    train_x: np.ndarray  # float64 [n, F]
    train_y: np.ndarray  # int32 [n]
    test_x: np.ndarray | None  # like train_x
    test_y: np.ndarray | None
    classes: tuple[str, ...]
    columns: Columns
    notes: tuple[str, ...]

    def parts(self, test_fraction: float, seed: int) -> Parts:
        """Both parts; without a file for the test part, a stratified share of the samples, drawn by the seed."""
        notes = self.notes
        if self.test_x is not None and self.test_y is not None:
            return Parts(
                self.train_x, self.train_y, self.test_x, self.test_y, self.classes, columns=self.columns, notes=notes
            )
        test = held_out(self.train_y, test_fraction, seed)
        notes = (*notes, f"test part: {test.sum():,} of {len(test):,} samples, stratified, drawn with seed {seed}")
        x, y = self.train_x, self.train_y
        return Parts(x[~test], y[~test], x[test], y[test], self.classes, columns=self.columns, notes=notes)


def load_table(
    name: str | os.PathLike,
    data_dir: str | os.PathLike | None,
    label: str,
    test: str | os.PathLike | None,
    columns: Columns | None = None,
) -> LabelledTable:
    """Reads a table of features and labels.

    Args:
      name: its path, as it is or inside ``data_dir``.
      data_dir: as for `load`.
      label: the column that holds the label.
      test: the path of a table with the test part; its columns may stand in another order.
      columns: which to take; None for all that say something.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no table or has no such columns; the message names file and line.
    """
    table = read_table(files.find(name, data_dir), [label])
    train_labels = labels_of(table, label, "load")
    left_out: tuple[str, ...] = ()
    if columns is None:
        columns, left_out = fit_columns(table, label, "load")
        train_x, _ = columns.encode(table, "load")
    else:
        train_x, left_out = columns.encode(without(table, label), "load")
    notes = (described(table), *table.notes, *left_out)
    if test is None:
        classes, (train_y,) = index_labels(train_labels, who=f"load: {table.source}, column {label!r}")
        return LabelledTable(train_x, train_y, None, None, classes, columns, notes)
    other = read_table(files.find(test, data_dir), [label])
    test_labels = labels_of(other, label, "load")
    test_x, ignored = columns.encode(without(other, label), "load")
    classes, (train_y, test_y) = index_labels(
        train_labels, test_labels, who=f"load: {table.source} and {other.source}, column {label!r}"
    )
    return LabelledTable(
        train_x, train_y, test_x, test_y, classes, columns, (*notes, described(other), *other.notes, *ignored)
    )


def labels_of(table: Table, label: str, who: str) -> list[Hashable]:
    """The labels in a column.

    Raises:
      ValueError: there is no such column, a label is missing, or they are numbers to predict.
    """
    fields = column(table, label)
    if fields is None:
        found = f"it has {', '.join(table.names)}" if table.names else "its first line names no columns"
        raise ValueError(f"{who}: {table.source} has no column {label!r}; {found}.")
    return read_text_labels(fields, table.place, who, f"{table.source}, column {label!r}")


def without(table: Table, name: str | None) -> Table:
    """The table without a column, if it has one of that name."""
    if table.names is None or name not in table.names:
        return table
    at = table.names.index(name)
    names, columns = (values[:at] + values[at + 1 :] for values in (table.names, table.columns))
    return table._replace(names=tuple(map(str, names)), columns=columns)
