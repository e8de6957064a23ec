"""Options of `build_grn` with a foundation model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..._core.checks import fail, need_between, need_one_of
from ..._core.typing import Number

Perturbation = Literal["deletion", "overexpression", "flag"]
PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)
Measure = Literal["embedding", "expression"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
SCORES = ("attention", "embedding", "token_embedding", *PERTURBATIONS)
ATTENTIONS = ("softmax", "raw", "rank", "mean_qk")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundationOptions:
    """Settings of networks read from foundation models.

    Attributes
    ----------
    checkpoint
        Folder or file of the published model, or a model that was read (`grs.model.load_foundation`).
    score
        What scores a pair: the `"attention"` of a gene to a regulator; the cosine of their mean embeddings in the cells of
        a group (`"embedding"`) or of their tokens before any layer (`"token_embedding"`); the mean shift of a gene's
        embedding by `"deletion"` or `"overexpression"` of the regulator, or by telling an scGenePT that it is perturbed
        (`"flag"`).
    measure
        What moves by a perturbation: the `"embedding"` of a gene, or its `"expression"` as the decoder of an scGPT or
        scGenePT predicts it. Then links have the sign of the change (by deletion the opposite; by flag, whose sense the
        training decides, that of the correlation as for all other scores).
    attention
        How attention is read: `"softmax"`, the share of a gene's attention; `"raw"`, query times key; `"rank"`, raw scores
        ranked among the keys of a gene and then among the genes of a key (scGPT); `"mean_qk"`, softmax of the mean query
        and mean key of every gene (scPRINT). By default as the model's own authors do.
    layers
        Layers whose attention is read: a number from 0 (negative ones from the end), or `"all"`; `None` is all for
        `"softmax"` and `"mean_qk"` and the last for the others.
    prior
        Known links with `tf` and `gene`, by which heads are chosen (with `n_heads`).
    n_heads
        Attention heads that are read: those that rank the known links of half of the TFs best; the other half judges.
    relative
        Score every group by its difference to the mean of the other groups whose cells hold the pair (0 where none does);
        with two conditions this is their difference. Of changes of expression the sizes are compared.
    center
        Take the mean of each gene and of each regulator out of the scores, which leaves what the pair adds.
    top
        Targets of a regulator in a group.
    emb_layer
        Layer of embeddings: 0 the last, -1 the one before it.
    max_cells
        Cells of a group that are read, drawn at random where there are more.
    per_cell
        Also store the attention of every kept link in every cell.
    gene_ids
        Column of `var` with names that the vocabulary knows; `None` takes the names of the genes.
    min_matched
        Share of the genes that must be in the vocabulary.
    batch_size
        Cells that pass the network at once; it changes speed and memory only.
    device, precision
        As in `grs.tl.embed`.
    """

    checkpoint: Any
    score: str = "attention"
    measure: str = "embedding"
    attention: str | None = None
    layers: int | str | None = None
    prior: Any = None
    n_heads: int | None = None
    relative: bool = False
    center: bool = False
    top: int = 50
    emb_layer: int = -1
    max_cells: int = 1000
    per_cell: bool = False
    gene_ids: str | None = None
    min_matched: Number = 0.2
    batch_size: int = 16
    device: str = "auto"
    precision: str = "float32"

    @property
    def changes(self) -> bool:
        """Whether scores are signed changes of expression."""
        return self.measure == "expression"

    def __post_init__(self) -> None:
        need_one_of(self.score, SCORES, name="score")
        need_one_of(self.measure, MEASURES, name="measure")
        if self.attention is not None:
            need_one_of(self.attention, ATTENTIONS, name="attention")
        if self.layers is not None and not isinstance(self.layers, int):
            need_one_of(self.layers, ("all",), name="layers")
        need_between(self.top, 1, 10**9, name="top")
        need_between(self.max_cells, 2, 10**9, name="max_cells")
        if self.n_heads is not None:
            need_between(self.n_heads, 1, 10**6, name="n_heads")
        if (self.prior is None) != (self.n_heads is None):
            raise fail(
                ValueError, "heads are chosen by known links: prior and n_heads go together.",
                "one of them without the other.", "pass both, or neither to read all heads.",
            )  # fmt: skip
        if self.changes and self.score not in PERTURBATIONS:
            raise fail(
                ValueError, "measure='expression' compares a gene before and after a perturbation.",
                f"score={self.score!r}.", f"pass score= one of {', '.join(PERTURBATIONS)}.",
            )  # fmt: skip
        unread = [
            name for name, given in (("attention", self.attention), ("layers", self.layers))
            if given is not None and self.score != "attention"
        ]  # fmt: skip
        if unread:
            raise fail(
                ValueError, f"{unread[0]} says how attention is read.", f"score={self.score!r}.",
                f"leave {unread[0]} out, or pass score='attention'.",
            )  # fmt: skip
        if self.relative and self.score == "token_embedding":
            raise fail(
                ValueError, "relative=True needs scores that differ between groups.",
                "score='token_embedding', which is the same in all of them.", "pass score='embedding'.",
            )  # fmt: skip
        wrong = [
            name for name, given in (("n_heads", self.n_heads is not None), ("per_cell", self.per_cell))
            if given and (self.score != "attention" or self.attention == "mean_qk")
        ]  # fmt: skip
        if wrong:
            raise fail(
                ValueError, f"{wrong[0]} needs the attention of single cells.",
                f"score={self.score!r}, attention={self.attention!r}.",
                "pass score='attention' with attention='softmax', 'raw' or 'rank'.",
            )  # fmt: skip
