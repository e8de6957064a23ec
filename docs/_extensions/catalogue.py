"""The directive `methods`: the table of `grs.get.methods`, whole in the page, and a script that lets one search it.

Without scripts every row and every description is read from top to bottom.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import grnformer_sc as grs

HEADS = ("Name", "Year", "Task", "Model class", "Inputs", "Published", "Code", "Licence", "How provided", "Proof")
MARK = 'class="methods"'
SOURCE = Path(grs.__file__).parent / "get" / "methods.yaml"


def render(table: pd.DataFrame) -> str:
    """HTML of the table: a body per method, with a row of facts and a row of description."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    bodies = "\n".join(_body(row) for row in table.to_dict("records"))
    return (
        f'<div {MARK}>\n<div class="methods-box" role="region" aria-label="Methods" tabindex="0">\n<table>\n'
        f'<thead><tr><td class="methods-plus"></td>{heads}</tr></thead>\n{bodies}\n</table>\n</div>\n</div>'
    )


def _body(row: dict[str, Any]) -> str:
    cells = (
        ("year", str(row["year"])), ("task", _list(row["task"])), ("model", escape(row["model_class"])),
        ("inputs", _list(row["inputs"])), ("published", _published(row)), ("repository", _repository(row["code"])),
        ("licence", escape(row["licence"])), ("code", _provided(row)), ("code", _list(row["proof"], code=True)),
    )  # fmt: skip
    facts = "".join(f'<td class="methods-{kind}">{cell}</td>' for kind, cell in cells)
    slug = re.sub(r"\W+", "-", row["name"].lower().replace("+", "plus"))
    more = f'<td colspan="{len(HEADS) + 1}"><div>{_more(row)}</div></td>'
    return (
        f'<tbody><tr><td class="methods-plus"></td><th scope="row">{escape(row["name"])}</th>{facts}</tr>\n'
        f'<tr class="methods-more" id="methods-{slug}">{more}</tr></tbody>'
    )


def _published(row: dict[str, Any]) -> str:
    kind = "" if row["kind"] == "journal" else f", {row['kind']}"
    return _link(f"https://doi.org/{row['doi']}", row["published"]) + kind


def _repository(url: str) -> str:
    return _link(url, "/".join(url.split("/")[-2:])) if url else "none"


def _provided(row: dict[str, Any]) -> str:
    where = f"explain/{row['page']}.html"
    return (_link(where, row["provided"]) if row["page"] else escape(row["provided"])) + _list(row["how"], code=True)


def _more(row: dict[str, Any]) -> str:
    parts = [_words(row["description"])]
    if row["here"]:
        parts.append(f"<strong>Here:</strong> {_words(row['here'])}")
    papers = [_link(f"https://doi.org/{row[key]}", row[key]) for key in ("doi", "preprint") if row[key]]
    parts.append(f"<strong>DOI:</strong> {', earlier version '.join(papers)}")
    return "".join(f"<p>{part}</p>" for part in parts)


def _list(text: str, *, code: bool = False) -> str:
    items = [f"<code>{escape(item)}</code>" if code else escape(item) for item in text.split("; ") if item]
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>" if items else ""


def _words(text: str) -> str:
    """Text with `code` in backquotes."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _link(url: str, text: str) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>'


class Methods(SphinxDirective):
    """The table of all methods; the page must lie in the top folder of the documentation, from where its links start."""

    def run(self) -> list[nodes.Node]:
        """One block of HTML."""
        for path in (str(SOURCE), __file__):
            self.env.note_dependency(path)
        return [nodes.raw("", render(grs.get.methods()), format="html")]


def _add_files(app: Any, _name: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Load script and style on the page that needs them."""
    if MARK in (context.get("body") or ""):
        app.add_js_file("methods.js", loading_method="defer")
        app.add_css_file("methods.css")


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("methods", Methods)
    app.connect("html-page-context", _add_files)
    return {"parallel_read_safe": True}
