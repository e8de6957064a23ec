"""Configuration of the documentation. Nothing is fetched from the network; notebooks run on simulated cells."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.ext.napoleon import NumpyDocstring

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # Agg would leave the notebooks without figures

project = "grnformer_sc"
author = copyright = "grnformer_sc developers"
release = importlib.metadata.version("grnformer-sc")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "results",
    "ablations",
    "catalogue",
]
exclude_patterns = ["_build", "jupyter_execute", "README.md"]
templates_path = ["_templates"]
default_role = "code"

html_theme = "sphinx_book_theme"
html_title = "grnformer_sc"
html_static_path = ["_static"]
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search is in the side bar; a second one would fill a bar of its own
}

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # texts of other packages refer to their own pages
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_google_docstring = False

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "jupyter_cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 240
nb_merge_streams = True

SLOT = re.compile(r"`[^`]+`(, `[^`]+`)* : ")


def _returns_as_text(self: NumpyDocstring, section: str) -> list[str]:
    """Read a Returns section as text, in which each line that starts with a slot becomes an item."""
    lines: list[str] = []
    in_item = False
    for line in self._dedent(self._consume_to_next_section()):
        if SLOT.match(line):
            lines += [*([] if in_item else [""]), f"- {line}"]
            in_item = True
        elif in_item and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
            in_item = False
    return self._format_block(":returns: ", lines)


NumpyDocstring._parse_returns_section = _returns_as_text  # noqa: SLF001

# The tutorials live beside the package; Sphinx reads only what lies below its own folder.
shutil.copytree(
    HERE.parent / "tutorials", HERE / "tutorials", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py")
)
shutil.copy(HERE.parent / "CHANGELOG.md", HERE / "changelog.md")

BARS = re.compile(r"(?<!`)\|(\w+)\|(?!`)")


def setup(app: Any) -> None:
    """Keep absolute values such as |z| from being read as substitutions."""

    def escape(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = [BARS.sub(r"\\|\1\\|", line) for line in lines]

    app.connect("autodoc-process-docstring", escape)
