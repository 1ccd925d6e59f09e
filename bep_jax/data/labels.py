"""Labels of any kind as classes 0..C-1: text, integers, bytes, floats that are whole numbers.

What is no class is refused with what to do instead: a missing label, a number to predict, a name for every sample.

Axis letters: n samples, C classes.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from bep_jax.data.tables import is_missing, number

# From so many samples on, more classes than half of them are taken for a mistake.
_MANY = 20
# Of a column of text. "None" and "null" may name a class.
_NO_LABEL = frozenset(("", "na", "n/a", "nan", "<na>", "?"))


def read_labels(y: Iterable[Any], who: str, name: str = "labels") -> list[Hashable]:
    """Labels as plain Python values, those that mean one class equal.

    Bytes become text, floats that are whole numbers integers.

    Args:
      y: n labels: a list, an array, a masked array, a column of pandas or polars.
      who: begins the messages of errors.
      name: of the labels, in messages.

    Raises:
      TypeError: labels that are not hashable.
      ValueError: a label is missing, or a number with a fraction, which is nothing to classify.

    Example:
      >>> read_labels(np.array([0.0, 1.0]), "load"), read_labels([b"cat", "dog"], "load")
      ([0, 1], ['cat', 'dog'])
    """
    masked = np.ma.getmaskarray(y) if isinstance(y, np.ma.MaskedArray) else None
    if masked is not None and masked.any():
        raise _missing(int(np.argmax(masked)), who, name)
    if hasattr(y, "dtype"):
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"{who}: {name} must be one label per sample, got shape {y.shape}.")
        y = y.tolist()
    if isinstance(y, str | bytes) or not isinstance(y, Iterable):
        raise TypeError(f"{who}: {name} must be a sequence of labels, got {y!r}.")
    found: list[Hashable] = []
    for i, label in enumerate(y):
        if isinstance(label, np.generic | np.ndarray) and label.ndim == 0:
            label = label.item()
        if not isinstance(label, Hashable):
            raise TypeError(f"{who}: labels must be hashable, {name} holds {type(label).__name__}.")
        if is_missing(label):
            raise _missing(i, who, name)
        if isinstance(label, bytes):
            label = label.decode("utf-8", "backslashreplace")
        elif isinstance(label, float):
            if not label.is_integer():
                raise _target(label, who, name)
            label = int(label)
        found.append(label)
    return found


def read_text_labels(fields: Sequence[str], place: Any, who: str, name: str) -> list[Hashable]:
    """Labels in a column of a file: text, or where all of them are numbers, whole numbers.

    Args:
      fields: n fields.
      place: row -> where that is, for messages.
      who, name: as for `read_labels`; the file and the column.
    """
    for i, field in enumerate(fields):
        if field.lower() in _NO_LABEL:
            raise ValueError(f"{who}: {name}, {place(i)} has no label; leave out samples without one.")
    numbers = [None if field[:1].isalpha() else _float(field) for field in fields]
    if any(value is None for value in numbers):
        return list(fields)
    return read_labels([value for value in numbers if value is not None], who, name)


def index_labels(*parts: Sequence[Hashable], who: str) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Maps the labels of all parts together to 0..C-1: the names, and int32 ``[n]`` for every part."""
    found = dict.fromkeys(label for part in parts for label in part)
    order: list[Any]
    try:
        order = sorted(found, key=_by_number if all(isinstance(label, str) for label in found) else None)
    except TypeError:
        order = list(found)
    names = tuple(str(label) for label in order)
    if len(names) < 2:
        raise ValueError(f"{who}: wanted at least two classes, got {list(names)}.")
    if len(set(names)) < len(names):
        raise ValueError(f"{who}: different labels read the same as text: {order}.")
    samples = sum(map(len, parts))
    if samples > _MANY and 2 * len(names) > samples:
        raise ValueError(
            f"{who}: {len(names):,} different labels for {samples:,} samples, such as {names[0]!r}, are no classes; "
            "a number to predict must be cut into ranges first."
        )
    index = {label: i for i, label in enumerate(order)}
    return names, [np.array([index[label] for label in part], np.int32) for part in parts]


def class_indices(labels: Sequence[Hashable], classes: Sequence[str], who: str) -> np.ndarray:
    """Labels as indices of classes that are known: text that is a name, or a number that is an index or a name.

    Args:
      labels: n, as from `read_labels`.
      classes: C names.
      who: begins the messages of errors.

    Returns:
      int32 ``[n]``, 0..C-1.

    Raises:
      ValueError: a label that is no class.

    Example:
      >>> class_indices(["yes", "no"], ("no", "yes"), "load"), class_indices([True, False], ("no", "yes"), "load")
      (array([1, 0], dtype=int32), array([1, 0], dtype=int32))
    """
    place: dict[Any, int] = {name: i for i, name in enumerate(classes)}
    for i, name in enumerate(classes):
        if (value := _float(name)) is not None:
            place.setdefault(value, i)
    unknown = [label for label in labels if label not in place and str(label) not in place]
    if unknown:
        outside = [label for label in unknown if not isinstance(label, int | float) or label not in range(len(classes))]
        if not outside and all(isinstance(label, int | float) and label in range(len(classes)) for label in labels):
            return np.array([int(label) for label in labels if isinstance(label, int | float)], np.int32)
        raise ValueError(
            f"{who}: the label {(outside or unknown)[0]!r} is none of the {len(classes)} classes "
            f"{', '.join(list(classes)[:12])}, nor are all labels in 0..{len(classes) - 1}."
        )
    return np.array([place[label] if label in place else place[str(label)] for label in labels], np.int32)


def _by_number(label: str) -> tuple[bool, float, str]:
    """Orders "2" before "10", and numbers before text."""
    value = _float(label)
    return (True, 0.0, label) if value is None or value != value else (False, value, label)


def _float(text: str) -> float | None:
    value = number(text)
    return value if value is not None and value == value else None


def _missing(i: int, who: str, name: str) -> ValueError:
    return ValueError(f"{who}: {name}: a label is missing (NaN, None) at {i}; leave out samples without a label.")


def _target(label: float, who: str, name: str) -> ValueError:
    return ValueError(
        f"{who}: {name} holds {label!r}: numbers with a fraction are no classes but something to predict, which these "
        "networks do not; cut them into ranges, or give names as text."
    )
