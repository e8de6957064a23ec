"""Every public function keeps the house form: data first, few positional arguments, a complete docstring, an API page."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import grnformer_sc

PACKAGE = Path(grnformer_sc.__file__).parent
DOCS = Path(__file__).parents[2] / "docs" / "api"
NAMESPACES = ("pp", "tl", "get", "pl", "model", "metrics", "datasets", "priors")
TAKES_DATA = ("pp", "tl", "get", "pl")
DATA_NAMES = ("data", "adata", "mdata", "rna", "atac", "board")
IN_PLACE = ("pp", "tl")
NEED_FILES = {("datasets", "fetch"), ("datasets", "snare_cortex")}  # examples need files that are not in the package


def public_names() -> Iterator[tuple[str, str]]:
    for space in NAMESPACES:
        tree = ast.parse((PACKAGE / space / "__init__.pyi").read_text())
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                yield from ((space, alias.asname or alias.name) for alias in node.names)


def load(space: str, name: str) -> Any:
    return getattr(importlib.import_module(f"grnformer_sc.{space}"), name)


NAMES = sorted(public_names())
FUNCTIONS = [pair for pair in NAMES if not pair[1][0].isupper()]


def sections(function: Callable[..., Any]) -> dict[str, str]:
    text = inspect.getdoc(function) or ""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}$", text, flags=re.MULTILINE)
    return {"Summary": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented(section: str) -> set[str]:
    heads = re.findall(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)$", section, flags=re.MULTILINE)
    return {name.lstrip("*") for head in heads for name in head.split(", ")}


def test_there_is_something_to_check() -> None:
    assert ("tl", "build_grn") in FUNCTIONS


@pytest.mark.parametrize(("space", "name"), [pair for pair in FUNCTIONS if pair[0] in TAKES_DATA])
def test_data_come_first(space: str, name: str) -> None:
    parameters = list(inspect.signature(load(space, name)).parameters)
    assert not parameters or parameters[0] in DATA_NAMES


@pytest.mark.parametrize(("space", "name"), FUNCTIONS)
def test_at_most_three_arguments_are_positional(space: str, name: str) -> None:
    parameters = inspect.signature(load(space, name)).parameters.values()
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert len(positional) <= 3, positional
    assert not any(p.kind is p.VAR_POSITIONAL for p in parameters)


@pytest.mark.parametrize(("space", "name"), FUNCTIONS)
def test_every_argument_has_a_type_and_a_description(space: str, name: str) -> None:
    function = load(space, name)
    signature = inspect.signature(function)
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    assert signature.return_annotation is not signature.empty
    described = documented(sections(function).get("Parameters", ""))
    assert described == set(signature.parameters)


@pytest.mark.parametrize(("space", "name"), FUNCTIONS)
def test_the_docstring_is_complete(space: str, name: str) -> None:
    function = load(space, name)
    found = sections(function)
    raises = space in TAKES_DATA or "raise " in inspect.getsource(function)
    given = bool(inspect.signature(function).parameters)
    needed = {"Parameters": given, "Returns": True, "Raises": given and raises, "Examples": True}
    missing = [title for title, wanted in needed.items() if wanted and not found.get(title, "").strip()]
    assert not missing
    first = found["Summary"].splitlines()[0]
    assert first.endswith("."), first
    assert ">>> " in found["Examples"]
    assert (space, name) in NEED_FILES or "+SKIP" not in found["Examples"]


@pytest.mark.parametrize(("space", "name"), [pair for pair in FUNCTIONS if pair[0] in IN_PLACE])
def test_results_are_written_in_place_unless_a_copy_is_asked_for(space: str, name: str) -> None:
    signature = inspect.signature(load(space, name))
    if "copy" in signature.parameters:
        assert signature.parameters["copy"].default is False
        assert "None" in sections(load(space, name))["Returns"]


@pytest.mark.parametrize(("space", "name"), NAMES)
def test_everything_public_is_on_the_api_page(space: str, name: str) -> None:
    text = "\n".join(page.read_text() for page in DOCS.glob("*.md"))
    assert re.search(rf"^\s*{space}\.{name}$", text, flags=re.MULTILINE), f"add {space}.{name} to docs/api"
