"""Puts the tables of the committed results into the texts that quote them: ``python -m benchmarks.readme``.

Between ``<!-- path -->`` and ``<!-- end -->`` goes every table of the Markdown file at that path; ``<!-- path 1 -->``
takes the first table alone.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
TEXTS = (
    *("README.md", "REPRODUCTION.md", "docs/results.md", "docs/speed.md"),
    *("docs/howto/scikit_learn.md", "docs/howto/convolution.md"),
)
_BLOCK = re.compile(r"<!-- (?P<path>\S+\.md)(?: (?P<number>\d+))? -->\n.*?<!-- end -->", flags=re.DOTALL)


def filled(text: str, root: pathlib.Path = ROOT) -> str:
    """``text`` with every block up to date.

    Raises:
      FileNotFoundError: a results file that a block names is not there.
      ValueError: it holds no table, or not that many.
    """

    def block(match: re.Match[str]) -> str:
        tables = re.findall(r"(?:^\|.*\n?)+", (root / match["path"]).read_text(encoding="utf-8"), flags=re.MULTILINE)
        number = match["number"]
        if len(tables) < int(number or 1):
            raise ValueError(f"readme: {match['path']} holds {len(tables)} tables, wanted number {number or 1}.")
        shown = tables if number is None else tables[int(number) - 1 :][:1]
        opening = match[0].partition("\n")[0]
        return f"{opening}\n" + "\n".join(t.rstrip() + "\n" for t in shown) + "<!-- end -->"

    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    for name in TEXTS:
        path = ROOT / name
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
