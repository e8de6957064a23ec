"""Panels of `pl.region_gene`."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ._style import ACTIVATES, GREY, NORMAL, REPRESSES, SMALL, shown_note, tidy

COLOURS = {1: ACTIVATES, -1: REPRESSES, 0: GREY}
LINK_WORDS = {1: "positive", -1: "negative", 0: "unknown"}
MOTIF_WORDS = {1: "activates", -1: "represses", 0: "motif alone"}
ROW = 0.82  # height of the highest bar; the distance of two rows is 1
HAIR = 0.8  # points; width of a region that would not be seen
DOT = 70.0  # area in square points where all cells express the gene
SIZES = (0.1, 0.5, 1.0)
MEGA, KILO = 1e6, 1e3


@dataclass(frozen=True, slots=True)
class Locus:
    """All that is drawn of a gene and its surroundings; positions in bp."""

    gene: str
    chrom: str
    start: int
    end: int
    strand: str
    low: int
    high: int
    groups: list[str]
    colours: dict[str, str]
    regions: pd.DataFrame
    accessibility: Float[np.ndarray, "groups regions"]
    expression: Float[np.ndarray, " groups"]
    expressing: Float[np.ndarray, " groups"]
    links: pd.DataFrame
    n_links: int
    motifs: dict[str, pd.DataFrame]

    @property
    def tss(self) -> int:
        """Transcription start."""
        return self.end if self.strand == "-" else self.start


def draw_locus(locus: Locus, figure: Figure | SubFigure | None) -> dict[str, Axes]:
    """Draw all panels, one below the other on one axis, with the expression beside the accessibility."""
    heights = {"accessibility": 0.3 * len(locus.groups) + 0.1, "links": 0.9, "motifs": 0.17 * len(locus.motifs),
               "gene": 0.36}  # fmt: skip
    rows = [name for name in heights if name != "motifs" or locus.motifs]
    if figure is None:
        figure = plt.figure(figsize=(6.8, 1.1 + sum(heights[name] for name in rows)), layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic(
        [[name, "expression" if name == "accessibility" else "."] for name in rows],
        height_ratios=[heights[name] for name in rows], width_ratios=[5.5, 1.0],
    )  # fmt: skip
    _accessibility(axes["accessibility"], locus)
    _expression(axes["expression"], locus)
    _links(axes["links"], locus)
    if locus.motifs:
        _motifs(axes["motifs"], locus)
    _gene(axes["gene"], locus)
    for name in rows:
        axes[name].set_xlim(locus.low, locus.high)
        axes[name].axvline(locus.tss, color="0.75", linewidth=0.6, linestyle=(0, (3, 3)), zorder=0)
        if name != "gene":
            axes[name].tick_params(bottom=False, labelbottom=False)
            axes[name].spines["bottom"].set_visible(name == "links")
    return axes


def _middle(table: pd.DataFrame) -> np.ndarray:
    return ((table["start"] + table["end"]) / 2).to_numpy(dtype=float)


def _rows(n: int) -> np.ndarray:
    """Foot of every row, the first on top."""
    return np.arange(n, dtype=float)[::-1]


def _accessibility(ax: Axes, locus: Locus) -> None:
    n, top = len(locus.groups), float(locus.accessibility.max())
    foot = _rows(n)
    start = locus.regions["start"].to_numpy()
    width = locus.regions["end"].to_numpy() - start
    ax.vlines(_middle(locus.links), 0, n, color="0.92", linewidth=2, zorder=0)
    for at, group, values in zip(foot, locus.groups, locus.accessibility, strict=True):
        seen = values > 0
        ax.bar(
            start[seen], ROW * values[seen] / top if top else values[seen], width=width[seen], bottom=at, align="edge",
            color=locus.colours[group], edgecolor=locus.colours[group], linewidth=HAIR,
        )  # fmt: skip
    ax.hlines(foot, locus.low, locus.high, color="0.6", linewidth=0.5)
    ax.set_ylim(-0.1, n)
    ax.set_yticks(foot + ROW / 2, locus.groups, fontsize=SMALL)
    tidy(ax)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_title(f"Accessibility (0 to {top:,.0f} counts per million)", fontsize=SMALL, loc="left")


def _expression(ax: Axes, locus: Locus) -> None:
    foot = _rows(len(locus.groups))
    ax.scatter(
        locus.expression, foot + ROW / 2, s=DOT * locus.expressing, c=[locus.colours[g] for g in locus.groups],
        edgecolors="0.3", linewidths=0.4, clip_on=False, zorder=3,
    )  # fmt: skip
    ax.set_xlim(0, max(1.15 * float(locus.expression.max()), 0.1))
    ax.set_ylim(-0.1, len(locus.groups))
    ax.set_yticks(foot + ROW / 2, [""] * foot.size)
    tidy(ax, grid="y")
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.set_title("Expression", fontsize=SMALL, loc="left")
    ax.set_xlabel("log(1 + CP10k)", fontsize=SMALL - 1, labelpad=1)
    handles = [ax.scatter([], [], s=s * DOT, color="0.5", label=f"{s:.0%}") for s in SIZES]
    ax.legend(
        handles=handles, title="Cells with\ncounts", title_fontsize=SMALL, fontsize=SMALL, frameon=False,
        loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.2, borderaxespad=0.2,
    )  # fmt: skip


def _links(ax: Axes, locus: Locus) -> None:
    """Parabolas from the regions to the TSS; their top is the importance."""
    step = np.linspace(-1, 1, 65)
    known = locus.links["importance"].notna().all()
    heights = locus.links["importance"].to_numpy(dtype=float) if known else np.ones(len(locus.links))
    for middle, height, sign in zip(_middle(locus.links), heights, locus.links["sign"], strict=True):
        x = (middle + locus.tss) / 2 + (locus.tss - middle) / 2 * step
        ax.plot(x, height * (1 - step**2), color=COLOURS[int(sign)], linewidth=1.2, solid_capstyle="round")
    ax.set_ylim(0, 1.08 * max(heights.max(initial=0.0), 1e-9))
    ax.set_ylabel("Importance" if known else "Links", fontsize=SMALL)
    tidy(ax)
    ax.yaxis.set_major_locator(MaxNLocator(3))
    if locus.links.empty or not known:
        ax.set_yticks([])
    if locus.links.empty:
        text = "no linked region" + (" in the window" if locus.n_links else "")
        ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=SMALL, color="0.4")
    shown_note(ax, len(locus.links), locus.n_links, "linked regions")
    _legend(ax, "Correlation", LINK_WORDS, set(locus.links["sign"]), "-")


def _motifs(ax: Axes, locus: Locus) -> None:
    foot = _rows(len(locus.motifs))
    for at, table in zip(foot, locus.motifs.values(), strict=True):
        colours = [COLOURS[int(sign)] for sign in table["sign"]]
        ax.vlines(_middle(table), at - 0.36, at + 0.36, color=colours, linewidth=1.2)
    ax.set_yticks(foot, list(locus.motifs), fontsize=SMALL)
    ax.set_ylim(-0.6, foot.size - 0.4)
    tidy(ax)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _legend(ax, "TF on gene", MOTIF_WORDS, {sign for t in locus.motifs.values() for sign in t["sign"]}, "|")


def _legend(ax: Axes, title: str, words: dict[int, str], signs: set[int], marker: str) -> None:
    """Only what is drawn, beside the panel."""
    style = {"linestyle": "-"} if marker == "-" else {"linestyle": "none", "marker": marker, "markeredgewidth": 1.2}
    lines = [Line2D([], [], color=COLOURS[s], label=word, **style) for s, word in words.items() if s in signs]
    if lines:
        drawn = ax.legend(
            handles=lines, title=title, title_fontsize=SMALL, fontsize=SMALL, frameon=False, loc="upper left",
            bbox_to_anchor=(1.0, 1.1), handlelength=1.2, alignment="left", borderaxespad=0.2, labelspacing=0.2,
        )  # fmt: skip
        drawn.set_in_layout(False)  # it stands below the expression, where nothing else is


def _gene(ax: Axes, locus: Locus) -> None:
    """The gene body, and an arrow that leaves the TSS in the direction of transcription."""
    ax.barh(0.25, locus.end - locus.start, left=locus.start, height=0.3, color="0.25", edgecolor="0.25", linewidth=HAIR)
    length = 0.03 * (locus.high - locus.low) * (-1 if locus.strand == "-" else 1)
    ax.plot([locus.tss, locus.tss], [0.25, 0.8], color="black", linewidth=1)
    ax.annotate(
        "", (locus.tss + length, 0.8), xytext=(locus.tss, 0.8),
        arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7},
    )  # fmt: skip
    ax.set_ylim(0, 1)
    ax.set_yticks([0.3], [locus.gene], fontsize=NORMAL, style="italic")
    tidy(ax)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10])
    ax.xaxis.set_major_locator(ticks)
    unit, word = (MEGA, "Mb") if locus.high - locus.low >= KILO * 20 else (KILO, "kb")
    distance = np.diff(ticks.tick_values(locus.low, locus.high))[0] / unit
    digits = max(0, int(-np.floor(np.log10(distance) + 1e-9)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / unit:,.{digits}f}"))
    ax.set_xlabel(f"Position on {locus.chrom} ({word})", fontsize=SMALL)
