"""Lines of JSON that say whether they are still what was written."""

import json
import zlib
from collections.abc import Mapping
from typing import Any


def signed(record: Mapping[str, Any]) -> bytes:
    r"""A record as a line that ends with a checksum of its content.

    Example:
      >>> signed({"run": 1})
      b'{"run": 1, "checksum": 3620508421}\n'
      >>> checked(signed({"run": 1}))
      {'run': 1}
    """
    line = json.dumps({**record, "checksum": _checksum(record)}, ensure_ascii=False, allow_nan=False)
    return line.encode() + b"\n"


def checked(line: bytes, unsigned: bool = False) -> dict[str, Any]:
    """The record of a line: a byte that changed may leave it JSON, with another accuracy or name.

    Args:
      line: of `signed`.
      unsigned: whether it may lack a checksum, as lines of earlier versions do.

    Raises:
      ValueError: it is no JSON object, or not the one that was signed.
    """
    try:
        record = json.loads(line)
    except RecursionError as error:
        raise ValueError(f"no JSON object: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    found = record.pop("checksum", None)
    if found is None and not unsigned:
        raise ValueError("a line without a checksum")
    if found not in (None, _checksum(record)):
        raise ValueError("the checksum of another line")
    return record


def _checksum(record: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())
