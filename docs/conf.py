"""How the site is built: ``sphinx-build -W --keep-going -b html docs build/site``.

Docstrings are written for `help()`, in plain text. What follows makes reStructuredText of them: ``|z|`` is an absolute
value, and the comments on the fields of a NamedTuple are their documentation.
"""

import functools
import importlib
import importlib.metadata
import inspect
import re

project = "bep_jax"
author = copyright = "The bep_jax developers"
version = release = importlib.metadata.version("bep_jax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "bep_jax"
exclude_patterns = ["notebooks/execute.py"]

nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]  # the docstrings'; links in the pages say what they are
default_role = "py:obj"  # `fit` in a docstring is a link where there is something to link to
autodoc_mock_imports = ["aeon", "sklearn"]  # a gigabyte that the pages need not
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # shapes and dtypes say more, and the docstrings give them
python_display_short_literal_types = True
napoleon_attr_annotations = False
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["amsmath", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed with outputs; the tests run them

_LITERAL = re.compile(r"(``.*?``|:\w+:`.*?`)")
_FIELD = re.compile(r"^    (?P<name>\w+): (?P<type>[^#]+?)(?:  # (?P<comment>.*))?$", flags=re.MULTILINE)


def _plain_bars(lines: list[str]) -> None:
    for i, line in enumerate(lines):
        if ">>>" not in line:
            parts = _LITERAL.split(line)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[i] = "".join(parts)


@functools.cache
def _field_comments(owner: type) -> dict[str, str]:
    return {m["name"]: m["comment"] or "" for m in _FIELD.finditer(inspect.getsource(owner))}


def _source(obj) -> str:
    """The paper's place, from the end of the module's docstring."""
    _, found, place = (inspect.getdoc(inspect.getmodule(obj)) or "").partition("Source:")
    return f"Source:{place}".replace("\n", " ") if found else ""


def _plain_returns(app, what, name, obj, options, lines):
    """Before napoleon, which would take what stands before a colon for a type."""
    if "Returns:" in lines:
        i = lines.index("Returns:")
        lines[i : i + 2] = ["", f":returns: {lines[i + 1].strip()}"]


def _describe(app, what, name, obj, options, lines):
    path, _, last = name.rpartition(".")
    if lines and lines[0].startswith("Alias for field number"):
        owner = functools.reduce(getattr, path.split(".")[1:], importlib.import_module("bep_jax"))
        lines[:] = [_field_comments(owner).get(last, ""), ""]
    if what in ("function", "class") and not any("Source:" in line or "Eq. " in line for line in lines):
        lines += ["", _source(obj)]
    if what == "property":  # of which napoleon has made a type
        lines[:] = [*(inspect.getdoc(obj) or "").splitlines(), ""]
    _plain_bars(lines)


def setup(app):
    app.connect("autodoc-process-docstring", _plain_returns, priority=400)
    app.connect("autodoc-process-docstring", _describe)
