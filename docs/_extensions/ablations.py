"""The directive `ablation`: tables and a figure of `benchmarks/ablate/runs.csv`, made at the time of the build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import Directive, directives

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from ablate import store, table
from results import row_of, shown

MINUS = "\N{MINUS SIGN}"
NAMES = {
    "deviance": "masked counts, deviance",
    "deviance_labelled": "masked counts, types known",
    "coregulation": "co-regulated genes, AUROC",
    "tf_activity": "TF activity, R²",
    "type_linear": "types, linear probe",
    "type_knn": "types, nearest cells",
    "batch_mixing": "batch mixing, iLISI",
    "tf_rho": "attention, TFs over other genes",
    "tf_rho_degree_matched": "over genes of like degree",
    "tf_rho_expression_matched": "over genes of like expression",
    "cpu_s": "CPU s",
}


def runs_of(name: str) -> pd.DataFrame:
    """Runs of one data set, named "simulated by cells"."""
    data, split = name.split(" by ")
    found = store.read()
    return found[(found["data"] == data) & (found["split"] == split)]


def interval(row: pd.Series) -> str:
    """Mean difference and its interval; in bold type where 0 is outside."""
    if pd.isna(row["low"]):
        return signed(row["mean"])
    return f"{signed(row['mean'])} ({signed(row['low'])} to {signed(row['high'])})"


def signed(value: float) -> str:
    """Three digits with a sign."""
    return f"{value:+.3g}".replace("-", MINUS)


class Ablation(Directive):
    """`differences` of contrasts, `means` over seeds, the `share` of the gain by chance, the `forest` of all contrasts."""

    required_arguments = 1
    option_spec = {  # noqa: RUF012  (as docutils has it)
        "data": directives.unchanged_required, "factor": directives.unchanged, "settings": directives.unchanged,
        "measures": directives.unchanged,
    }  # fmt: skip

    def run(self) -> list[nodes.Node]:
        """What was asked for, of one data set."""
        runs = runs_of(self.options["data"])
        if runs.empty:
            return [nodes.paragraph("", "Not measured yet.")]
        measures = [name.strip() for name in self.options.get("measures", "deviance").split(",")]
        return getattr(self, f"_{self.arguments[0]}")(runs, measures)

    def _differences(self, runs: pd.DataFrame, measures: list[str]) -> list[nodes.Node]:
        parts = [table.differences(runs, measure) for measure in measures]
        asked = self.options.get("factor")
        rows = []
        for place in parts[0].index:
            first = parts[0].loc[place]
            if asked is not None and first["factor"] != asked:
                continue
            cells = [first["setting"], first["beside"]]
            for part in parts:
                same = part[(part["setting"] == first["setting"]) & (part["beside"] == first["beside"])]
                cells.append(nothing() if same.empty else interval_node(same.iloc[0]))
            rows.append([*cells, shown(float(first["n"]))])
        head = ["setting", "minus", *(NAMES.get(name, name) for name in measures), "seeds"]
        return [grid_of(head, rows)]

    def _means(self, runs: pd.DataFrame, measures: list[str]) -> list[nodes.Node]:
        found = table.means(runs)
        asked = self.options.get("settings")
        if asked is not None:
            found = found.loc[[name.strip() for name in asked.split(";") if name.strip() in found.index]]
        kept = [name for name in measures if name in found]
        rows = [
            [name, *(shown(float(value)) for value in row)] for name, row in found[kept].dropna(how="all").iterrows()
        ]
        return [grid_of(["", *(NAMES.get(name, name) for name in kept)], rows)]

    def _share(self, runs: pd.DataFrame, measures: list[str]) -> list[nodes.Node]:
        rows = [
            [name, *(f"{100 * table.share_of_gain(runs, name, measure):.0f} %" for measure in measures)]
            for name in ("random network", "random targets")
        ]
        return [grid_of(["share of the gain over no network", *(NAMES.get(name, name) for name in measures)], rows)]

    def _forest(self, runs: pd.DataFrame, measures: list[str]) -> list[nodes.Node]:
        source = Path(self.state.document.settings.env.srcdir)
        name = f"{self.options['data'].replace(' ', '_')}_{measures[0]}.png"
        folder = source / "explain" / "generated"
        folder.mkdir(exist_ok=True)
        draw(table.differences(runs, measures[0]), NAMES.get(measures[0], measures[0]), folder / name)
        alt = f"Paired differences of {NAMES.get(measures[0], measures[0])} on {self.options['data']}, with intervals."
        return [nodes.image(uri=f"generated/{name}", alt=alt, width="90%")]


def draw(found: pd.DataFrame, what: str, path: Path) -> None:
    """Forest plot of paired differences; what is clear of 0 is filled."""
    from matplotlib.figure import Figure

    found = found[found["low"].notna()].iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(8, 0.9 + 0.3 * len(found)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.6", linewidth=1)
    factors = list(dict.fromkeys(found["factor"][::-1]))
    for place, row in found.iterrows():
        colour = f"C{factors.index(row['factor'])}"
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
        clear = row["low"] > 0 or row["high"] < 0
        axes.plot(row["mean"], place, "o", color=colour, markerfacecolor=colour if clear else "white")
    axes.set_yticks(range(len(found)), [f"{row.setting} {MINUS} {row.beside}" for row in found.itertuples()])
    axes.set_xlabel(f"difference of {what}" + (" (below 0: better)" if what.startswith("masked") else ""))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def interval_node(row: pd.Series) -> nodes.Node:
    """Text of a difference, strong where its interval leaves 0 out."""
    clear = row["low"] > 0 or row["high"] < 0
    return nodes.paragraph("", "", nodes.strong("", interval(row)) if clear else nodes.Text(interval(row)))


def nothing() -> nodes.Node:
    """An empty cell."""
    return nodes.paragraph("", "")


def grid_of(head: list[str], rows: list[list[Any]]) -> nodes.table:
    """Table of text and nodes."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", row_of(head))
    group += nodes.tbody("", *(row_of(row) for row in rows))
    return nodes.table("", group, classes=["colwidths-auto"])


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("ablation", Ablation)
    return {"parallel_read_safe": True}
