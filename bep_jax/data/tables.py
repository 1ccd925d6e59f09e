"""Tables in text files: CSV as spreadsheets, R, pandas and NumPy write it. Python's `csv` parses, nothing is guessed.

A table is read whole or not at all: a line with a field too many or too few, a stray quote or a byte of no encoding is
an error that names the line. What looks like a line of names is told from what looks like a sample, and said.

Axis letters: n samples, F features.
"""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bep_jax.data import files

SUFFIXES = (".csv", ".tsv")
# Fields that stand for no value, in any case of letters.
MISSING = frozenset(("", "na", "n/a", "nan", "-nan", "#n/a", "<na>", "?", "null", "none", "nil", "#null!", "-"))
_DELIMITERS = ",;\t|"
_STATED = re.compile(r"sep=([,;\t|])\s*")  # a first line that tells Excel the delimiter
_UNNAMED = re.compile(r"|Unnamed: \d+")  # what pandas calls a column without a name


class Table(NamedTuple):
    """Columns of a file or of a frame, and where they come from."""

    source: str  # the file, for messages
    names: tuple[str, ...] | None  # of the columns; None: the file has no line of names
    columns: tuple[Sequence[Any], ...]  # one for each column, n values: text, or whatever a frame holds
    lines: tuple[int, ...] | None  # n line numbers; None: rows of a frame
    notes: tuple[str, ...] = ()  # what was decided while reading, a line each

    @property
    def num_rows(self) -> int:
        """n."""
        return len(self.columns[0]) if self.columns else 0

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"


def read_table(path: str | os.PathLike, known: Sequence[str] | None = None, who: str = "load") -> Table:
    """Reads a table.

    UTF-8, UTF-16 and UTF-32 with a byte order mark, UTF-8 without, else Windows-1252. Fields are separated by commas,
    semicolons, tabs or bars, whichever the first line has most of or states (``sep=;``). Where they are not commas,
    numbers may have decimal commas. A column without a name that numbers the rows is left out.

    Args:
      path: the file.
      known: names that its first line should have, such as that of the label. Where it has one of them it is a line of
        names. Otherwise, it is where its fields are text or count from 0 (as pandas names columns), and a sample where
        they are numbers or missing values.
      who: begins the messages of errors.

    Returns:
      A `Table` of text.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no table, or its first line is neither names nor a sample; the message names file and line.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "t.csv").write_text('size,colour\\n"1.5",red\\nNA,blue\\n')
      ...     read_table(f"{folder}/t.csv").columns
      (('1.5', 'NA'), ('red', 'blue'))
    """
    return parse_table(files.read(Path(path), who), Path(path), known, who)


def parse_table(content: bytes, path: Path, known: Sequence[str] | None, who: str) -> Table:
    """The table in the content of a file; arguments are as for `read_table`."""
    text, notes = files.text(content, path, who, "no table")
    rows: list[list[str]] = []
    lines: list[int] = []
    source = list(io.StringIO(text, newline=""))
    if stated := _STATED.fullmatch(source[0] if source else ""):
        source[0] = "\n"
    delimiter = stated[1] if stated else _delimiter(text)
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        begin = 1
        for row in reader:
            if source[begin - 1].strip(" \r\n"):
                if rows and len(row) != len(rows[0]):
                    first = f"{_fields(len(rows[0]))} in line {lines[0]}"
                    raise ValueError(f"{who}: {path}, line {begin}: {_fields(len(row))}, but {first}.")
                rows.append([field.strip() for field in row])
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{who}: {path}, line {max(1, reader.line_num)}: {error}.") from error
    if not rows:
        raise ValueError(f"{who}: {path} is empty.")
    if len(rows[-1]) == 1 and len(parts := rows[-1][0].split()) > 1 and None not in map(number, parts):
        raise ValueError(
            f"{who}: {path}, line {lines[-1]}: {rows[-1][0][:40]!r} is one field of several numbers; separate them by "
            "commas, not by blanks."
        )
    if delimiter != ",":
        rows = [[_point(field) for field in row] for row in rows]
    names = None
    if _is_names(rows[0], known, f"{who}: {path}, line {lines[0]}"):
        names = _checked_names(rows[0], f"{who}: {path}, line {lines[0]}")
        rows, lines = rows[1:], lines[1:]
    if not rows:
        raise ValueError(f"{who}: {path} has a line of names and no samples.")
    if blank := [str(line) for row, line in zip(rows, lines, strict=True) if len(row) > 1 and not any(row)]:
        notes = (*notes, f"{path}: a sample without any value in line {', '.join(blank[:8])}{' …' * (len(blank) > 8)}")
    columns: tuple[tuple[str, ...], ...] = tuple(zip(*rows, strict=True))
    return without_row_numbers(Table(str(path), names, columns, tuple(lines), notes), who)


def described(table: Table) -> str:
    """One line: what was read as names, and how many samples."""
    found = f"{table.source}: {table.num_rows:,} sample{'s' * (table.num_rows != 1)}, "
    if table.names is None:
        return f"{found}no line of names, {len(table.columns)} columns by their places"
    shown = table.names if len(table.names) <= 8 else (*table.names[:4], "…", *table.names[-2:])
    return f"{found}{len(table.names)} columns named {', '.join(shown)}"


def number(value: Any) -> float | None:
    """A field as a number, NaN where it is missing; None where it is text.

    Example:
      >>> number(" 1.5"), number("NA"), number("TRUE"), number("red")
      (1.5, nan, 1.0, None)
    """
    if isinstance(value, str):
        field = value.strip()
        if field.lower() in MISSING:
            return float("nan")
        if field.lower() in ("true", "false"):
            return float(field.lower() == "true")
        if "_" in field:  # which Python takes between digits
            return None
    elif is_missing(value):
        return float("nan")
    try:
        return None if np.ndim(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(column: Sequence[Any]) -> np.ndarray | None:
    """A column as float64 ``[n]``, NaN where a value is missing; None where one is text."""
    if not any(isinstance(value, str) and "_" in value for value in column):
        try:
            if (found := np.array(column, np.float64)).ndim == 1:  # the same numbers, sooner
                return found
        except (TypeError, ValueError, OverflowError):
            pass  # a missing value, or text
    read = [number(value) for value in column]
    return None if None in read else np.array(read, np.float64)


def is_missing(value: Any) -> bool:
    """None, NaN, pandas.NA, NaT, a masked value."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA has no truth; an array has many
        return not hasattr(value, "__len__")


def without_row_numbers(table: Table, who: str) -> Table:
    """Leaves out columns without a name that number the rows, in any order, as pandas and R write them, or are empty.

    Raises:
      ValueError: there is one that does not, and not even pandas named it.
    """
    for at, name in enumerate(table.names or ()):
        if not _UNNAMED.fullmatch(name):
            continue
        found = [str(value) for value in table.columns[at]]
        if not any(found):
            why = "which has neither name nor values"
        elif all(map(str.isdecimal, found)) and len(set(found)) == len(found):
            why = "row numbers without a name"
        elif name:
            continue
        else:
            raise ValueError(
                f"{who}: {table.source}, column {at + 1} has no name in the first line, and holds no row numbers."
            )
        assert table.names is not None
        rest = table._replace(
            names=table.names[:at] + table.names[at + 1 :],
            columns=table.columns[:at] + table.columns[at + 1 :],
            notes=(*table.notes, f"{table.source}: left out column {at + 1}, {why}"),
        )
        return without_row_numbers(rest, who)
    return table


def _delimiter(text: str) -> str:
    """What the first line that is not blank has most of, outside quotes."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    outside = "".join(first.split('"')[::2])
    counts = {mark: outside.count(mark) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: counts[mark])


def _point(field: str) -> str:
    """A number with a decimal comma as one with a point; anything else as it is."""
    whole, comma, part = field.partition(",")
    return f"{whole}.{part}" if comma and whole.lstrip("+-").isdigit() and part[:1].isdigit() else field


def _is_names(first: list[str], known: Sequence[str] | None, where: str) -> bool:
    if known is not None and set(known) & set(first):
        return True
    numbers = [number(field) for field in first]
    text = [field for field, value in zip(first, numbers, strict=True) if value is None]
    if not text:
        return len(first) > 1 and first == [str(i) for i in range(len(first))]
    mixed = [field for field, value in zip(first, numbers, strict=True) if value is not None and value == value]
    if mixed and not known:
        raise ValueError(
            f"{where} is neither names nor a sample: {text[0]!r} is no number, {mixed[0]!r} is. Name every column, or "
            "write numbers alone."
        )
    return True


def _checked_names(names: list[str], where: str) -> tuple[str, ...]:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise ValueError(f"{where}: the name {twice[0]!r} stands twice; names of columns must differ.")
    return tuple(names)


def _fields(count: int) -> str:
    return f"{count} field{'s' * (count != 1)}"
