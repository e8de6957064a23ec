"""The directives `script` and `results`: what a benchmark says of itself, and its table, at the time of the build.

Nothing is typed twice: words come from the docstring of the script, bars from its assertions, figures from the CSV file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import Directive, directives

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STAMP = ["date", "machine", "python"]
NAMES = {
    "aupr": "AUPR", "cpu_s": "CPU s", "wall_s": "wall s", "extra_mb": "extra memory, MB", "r2": "R²",
    "file_mb": "file, MB", "cpu_ms_per_region": "CPU ms per region", "took_gb": "took, GB", "foretold_gb": "foretold, GB",
    "took_s": "took, s", "foretold_s": "foretold, s", "times_faster": "times faster", "times_less_cpu": "times less CPU",
    "p_below_05": "p below .05",
}  # fmt: skip


def script_of(name: str) -> Path:
    """Script of a table."""
    return BENCHMARKS / f"bench_{name}.py"


def read(name: str) -> pd.DataFrame:
    """Stored table."""
    return pd.read_csv(BENCHMARKS / "results" / f"{name}.csv")


def shown(value: Any, digits: int = 3) -> str:
    """Some digits of a number, all of what stands before the point; nothing where there is no value."""
    if not isinstance(value, (int, float)):
        return str(value)
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.{digits}g}"


def bars(path: Path) -> Iterator[str]:
    """Assertions of every benchmark of a script, and the values that their parameters and loops take."""
    body = ast.parse(path.read_text()).body
    tables = {ast.unparse(node.targets[0]): node.value for node in body if isinstance(node, ast.Assign)}
    for function in body:
        if isinstance(function, ast.FunctionDef) and function.name.startswith("bench_"):
            ranges = dict(_ranges(function, tables))
            for node in ast.walk(function):
                if isinstance(node, ast.Assert):
                    used = {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
                    given = [
                        f"{names} in {values}" for names, values in ranges.items() if used & set(names.split(", "))
                    ]
                    yield ast.unparse(node.test) + (" where " if given else "") + " and ".join(given)


def _ranges(function: ast.FunctionDef, tables: dict[str, ast.expr]) -> Iterator[tuple[str, str]]:
    """Names of parameters, loops and limits, and their values where these are written out."""
    pairs: list[tuple[str, ast.expr]] = []
    for call in function.decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("parametrize"):
            names = ast.literal_eval(call.args[0])
            pairs.append((names if isinstance(names, str) else ", ".join(names), call.args[1]))
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            pairs.append((ast.unparse(node.target).strip("()"), node.iter))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            table = tables.get(ast.unparse(node.value.value))
            pairs += [] if table is None else [(ast.unparse(node.targets[0]).strip("()"), table)]
    for names, values in pairs:
        if not any(isinstance(part, (ast.Name, ast.Call)) for part in ast.walk(values)):
            yield names, ast.unparse(values)


class Script(Directive):
    """What a script says of itself, its command, its bars and when it was run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Paragraphs of the docstring, then a list."""
        name = self.arguments[0]
        path = script_of(name)
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        made = [nodes.paragraph("", "", *_words(part)) for part in text.split("\n\n") if not part.startswith("Writes ")]
        facts = [[nodes.Text("Script and command: "), _code(f"nox -s bench -- benchmarks/{path.name}")]]
        checks = list(dict.fromkeys(bars(path)))
        if checks:
            parts = [part for check in checks for part in (nodes.Text("; "), _code(check))]
            facts.append([nodes.Text("Bars that it asserts: "), *parts[1:]])
        table = read(name)
        if set(STAMP) <= set(table):
            stamp = ["; ".join(sorted(table[column].astype(str).unique())) for column in STAMP]
            facts.append([nodes.Text(f"Measured: {stamp[0]}; {stamp[1]}; Python {stamp[2]}.")])
        items = [nodes.list_item("", nodes.paragraph("", "", *parts)) for parts in facts]
        return [*made, nodes.bullet_list("", *items, bullet="-")]


class Results(Directive):
    """The rows of a table that fit `only`, with some columns, or one `value` `across` the values of a column."""

    required_arguments = 1
    option_spec = {  # noqa: RUF012  (as docutils has it)
        "only": directives.unchanged, "columns": directives.unchanged, "across": directives.unchanged,
        "value": directives.unchanged, "rows": directives.unchanged, "digits": directives.positive_int,
    }  # fmt: skip

    def run(self) -> list[nodes.Node]:
        """One table; rows of the same first column stand below a line of their own."""
        table = read(self.arguments[0])
        key = self.options.get("rows", "what")
        if "only" in self.options:
            table = table[table["what"].str.contains(self.options["only"])]
        if table.empty:
            return [nodes.paragraph("", "Not measured yet.")]
        if "across" in self.options:
            index, across = [name.strip() for name in key.split(",")], self.options["across"]
            order = table.loc[table[self.options["value"]].notna(), across].unique()
            table = table.pivot_table(index=index, columns=across, values=self.options["value"], sort=False)
            table = table[order].reset_index()
        else:
            kept = table.drop(columns=[name for name in STAMP if name in table]).dropna(axis=1, how="all")
            wanted = self.options.get("columns")
            table = kept if wanted is None else kept[["what", "who", *(name.strip() for name in wanted.split(","))]]
        return [_table(table, self.options.get("digits", 3))]


def _table(table: pd.DataFrame, digits: int = 3) -> nodes.table:
    first, repeated = table.columns[0], table[table.columns[0]].duplicated().any()
    columns = list(table.columns[1:] if repeated else table.columns)
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in columns), cols=len(columns))
    labels = [NAMES.get(str(name), str(name).replace("_", " ")) for name in columns]
    group += nodes.thead("", row_of([("" if label in ("what", "who") else label) for label in labels]))
    body = nodes.tbody()
    for value, rows in table.groupby(first, sort=False):
        if repeated:
            entry = nodes.entry("", nodes.paragraph("", "", nodes.strong("", str(value))), morecols=len(columns) - 1)
            body += nodes.row("", entry)
        for row in rows[columns].itertuples(index=False):
            body += row_of([shown(cell, digits) for cell in row])
    group += body
    return nodes.table("", group, classes=["colwidths-auto"])


def row_of(cells: list[Any]) -> nodes.row:
    """Row of a table, of text and nodes."""
    parts = [cell if isinstance(cell, nodes.Node) else nodes.paragraph("", str(cell)) for cell in cells]
    return nodes.row("", *(nodes.entry("", part) for part in parts))


def _words(text: str) -> list[nodes.Node]:
    """Text with `code` in backquotes."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return [_code(part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts)]


def _code(text: str) -> nodes.literal:
    return nodes.literal("", text)


def setup(app: Any) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("script", Script)
    app.add_directive("results", Results)
    return {"parallel_read_safe": True}
