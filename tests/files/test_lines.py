"""Lines of JSON that carry a checksum."""

import json

import pytest

from bep_jax.files import lines

RECORD = {"problem": "Ä", "accuracy": 0.25, "settings": {"widths": (35, 35), "gate": None}, "run": 3}


def test_a_line_is_read_back_and_any_changed_byte_is_seen():
    line = lines.signed(RECORD)
    assert lines.checked(line) == json.loads(json.dumps(RECORD))
    for place in range(len(line) - 1):
        for bit in range(8):
            changed = line[:place] + bytes([line[place] ^ 1 << bit]) + line[place + 1 :]
            with pytest.raises(ValueError):
                lines.checked(changed)


def test_lines_of_earlier_versions_have_no_checksum():
    line = json.dumps(RECORD).encode()
    assert lines.checked(line, unsigned=True) == json.loads(line)
    with pytest.raises(ValueError, match="a line without a checksum"):
        lines.checked(line)
    for other in (b"[]", b"3", b'{"run": ', b"[" * 99_999, b"\xff{}"):
        with pytest.raises(ValueError):
            lines.checked(other, unsigned=True)


def test_what_is_no_number_is_not_written():
    with pytest.raises(ValueError):
        lines.signed({"accuracy": float("nan")})
