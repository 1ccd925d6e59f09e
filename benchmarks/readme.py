"""Puts the tables of the committed results into README.md: ``python -m benchmarks.readme``.

Between ``<!-- path -->`` and ``<!-- end -->`` goes every table of the Markdown file at that path.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
_BLOCK = re.compile(r"<!-- (?P<path>\S+\.md) -->\n.*?<!-- end -->", flags=re.DOTALL)


def filled(text: str, root: pathlib.Path = ROOT) -> str:
    """``text`` with every block up to date.

    Raises:
      FileNotFoundError: a results file that a block names is not there.
      ValueError: it holds no table.
    """

    def block(match: re.Match[str]) -> str:
        tables = re.findall(r"(?:^\|.*\n?)+", (root / match["path"]).read_text(encoding="utf-8"), flags=re.MULTILINE)
        if not tables:
            raise ValueError(f"readme: {match['path']} holds no table.")
        return f"<!-- {match['path']} -->\n" + "\n".join(t.rstrip() + "\n" for t in tables) + "<!-- end -->"

    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8")), encoding="utf-8")
