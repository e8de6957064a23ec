"""The benchmark page shows every row of every table, and names every script."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("docutils", reason="docutils (docs) is not installed")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explain" / "benchmarks.md").read_text()
TABLES = sorted(path.stem for path in (ROOT / "benchmarks" / "results").glob("*.csv"))
BLOCK = re.compile(r"```\{(\w+)\} (\w+)\n(.*?)```", flags=re.DOTALL)


@pytest.fixture(scope="module")
def extension() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "_extensions" / "results.py"))


def blocks(kind: str, name: str) -> list[dict[str, str]]:
    """Options of the directives of a table."""
    found = [body for this, of, body in BLOCK.findall(PAGE) if (this, of) == (kind, name)]
    return [dict(re.findall(r"^:(\w+): (.+)$", body, flags=re.MULTILINE)) for body in found]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_is_shown_and_its_columns_exist(name: str, extension: dict[str, Any]) -> None:
    table = extension["read"](name)
    shown = np.zeros(len(table), dtype=bool)
    for options in blocks("results", name):
        mine = (
            table["what"].str.contains(options["only"]).to_numpy() if "only" in options else np.ones(len(table), bool)
        )
        assert not (shown & mine).any() or options.get("value") == "r2", "rows are shown twice"
        shown |= mine
        wanted = [
            column for key in ("columns", "across", "value", "rows") for column in options.get(key, "").split(",")
        ]
        known = set(table) if mine.any() else set(map(str.strip, wanted))
        assert {column.strip() for column in wanted} - {""} <= known
    assert shown.all(), table[~shown]


def test_every_script_is_named_and_says_what_it_does(extension: dict[str, Any]) -> None:
    scripts = sorted(path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py"))
    assert scripts == sorted(name for kind, name, _ in BLOCK.findall(PAGE) if kind == "script")
    assert set(TABLES) <= set(scripts)
    for name in scripts:
        assert extension["script_of"](name).read_text().startswith('"""')


def test_no_result_is_typed_by_hand() -> None:
    """Outside the directives there is no number but in names (R2 as a word, "1 is best")."""
    words = BLOCK.sub("", PAGE).replace("(1 is best)", "")
    assert not re.findall(r"\d", words)


def test_bars_come_with_their_values(extension: dict[str, Any], tmp_path: Path) -> None:
    script = tmp_path / "bench_x.py"
    script.write_text(
        "BARS = {'a': (1, 2)}\n\n@pytest.mark.parametrize(('name', 'bar'), [('a', 3)])\n"
        "def bench_x(name, bar):\n    low, high = BARS[name]\n    for n in range(4):\n        assert n < bar\n"
        "    assert 0 < low\n    assert 1\n\ndef helper():\n    assert False\n"
    )
    expected = {"n < bar where name, bar in [('a', 3)]", "0 < low where low, high in {'a': (1, 2)}", "1"}
    assert set(extension["bars"](script)) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.123"), (28450.2, "28,450"), (3.0, "3"), (float("nan"), ""), ("x", "x"), (1e-5, "1e-05")],
)
def test_numbers_have_three_digits(extension: dict[str, Any], value: Any, text: str) -> None:
    assert extension["shown"](value) == text


def test_a_table_has_a_line_for_every_value_of_its_first_column(extension: dict[str, Any]) -> None:
    table = pd.DataFrame({"what": ["a", "a", "b"], "who": list("xyx"), "cpu_s": [1.0, np.nan, 2.5]})
    rows = list(extension["_table"](table).findall(lambda node: node.tagname == "row"))
    assert [row.astext().split() for row in rows] == [["CPU", "s"], ["a"], ["x", "1"], ["y"], ["b"], ["x", "2.5"]]
