"""The README's Python runs as it stands, top to bottom, in one namespace."""

import pathlib
import re

import jax

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_python_blocks_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 3
    # A reader's session: JAX's own promotion, not the strict one of the tests.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        namespace: dict = {}
        for block in blocks:
            exec(compile(block, str(README), "exec"), namespace)
    assert namespace["result"].test_accuracy.shape == (8,)
    assert namespace["result"].history["validation_accuracy"].shape == (8, 5)
