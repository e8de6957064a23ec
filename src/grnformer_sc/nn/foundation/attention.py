"""Attention of genes to regulators, summed over cells: never genes x genes, and never by cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from .._kernels.places import ranked_columns
from ..blocks import has_kernels
from .base import CellTokens, FoundationNet, Reading, Sequences, autocast, batches, sequences

SQUARE_BYTES = 2**26  # of one block of queries x keys
INF = float("inf")


@dataclass(frozen=True, slots=True)
class Panel:
    """Which pairs are kept: row of every token among the genes and column among the regulators, -1 for neither."""

    gene: Int64[Tensor, " tokens"]
    tf: Int64[Tensor, " tokens"]
    shape: tuple[int, int]

    @classmethod
    def of(
        cls, tokens: Int64[np.ndarray, " genes"], tfs: Int64[np.ndarray, " tfs"], n_tokens: int, device: str
    ) -> Panel:
        """Panel of genes, by their tokens (-1 without one), and regulators, by their places among the genes."""
        gene, tf = np.full(n_tokens, -1), np.full(n_tokens, -1)
        known = tokens >= 0
        gene[tokens[known]] = np.flatnonzero(known)
        tf[tokens[tfs[tokens[tfs] >= 0]]] = np.flatnonzero(tokens[tfs] >= 0)
        return cls(torch.from_numpy(gene).to(device), torch.from_numpy(tf).to(device), (tokens.size, tfs.size))


@dataclass(frozen=True, slots=True)
class Maps:
    """Attention maps that are read: heads of every layer, and how a map becomes scores."""

    heads: dict[int, Int64[Tensor, " heads"]]
    kind: str

    @property
    def depth(self) -> int:
        """Layers that are run."""
        return max(self.heads) + 1

    def __len__(self) -> int:
        return sum(heads.numel() for heads in self.heads.values())


@dataclass(slots=True)
class PairSums:
    """Sums over cells of the score of every pair, one matrix or one for each map, and in how many cells both genes are."""

    total: Float[Tensor, "maps genes tfs"]
    seen: Float[Tensor, "genes tfs"]

    @classmethod
    def zeros(cls, panel: Panel, n_maps: int, device: str) -> PairSums:
        """Nothing added yet."""
        return cls(torch.zeros(n_maps, *panel.shape, device=device), torch.zeros(panel.shape, device=device))

    def mean(self) -> Float32[np.ndarray, "maps genes tfs"]:
        """Means over the cells in which both genes are tokens, NaN where there is none."""
        return (self.total / self.seen).cpu().numpy()


def add_attention(
    net: FoundationNet, cells: CellTokens, how: Reading, panel: Panel, maps: Maps, sums: PairSums
) -> None:
    """Add the attention of every gene (as query) to every regulator (as key) in some cells.

    With one matrix in `sums` the mean over the maps is added, else each map to its own.
    """
    for _, pairs, score in pair_scores(net, cells, how, panel, maps, by_map=sums.total.shape[0] > 1):
        flat = pairs.flat(panel.shape[1])
        kept = pairs.kept.reshape(-1)
        at = flat.reshape(-1)[kept]
        for row, part in zip(sums.total, score, strict=True):
            row.view(-1).index_add_(0, at, part.reshape(-1)[kept])
        sums.seen.view(-1).index_add_(0, at, torch.ones_like(at, dtype=torch.float32))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a batch: row of the query's gene, column of the key's regulator, and which of them count."""

    gene: Int64[Tensor, "cells places"]
    tf: Int64[Tensor, "cells tfs"]
    kept: Bool[Tensor, "cells places tfs"]

    def flat(self, n_tfs: int) -> Int64[Tensor, "cells places tfs"]:
        """Number of every pair in the matrix genes x regulators."""
        return self.gene[:, :, None] * n_tfs + self.tf[:, None, :]


@torch.inference_mode()
def pair_scores(
    net: FoundationNet, cells: CellTokens, how: Reading, panel: Panel, maps: Maps, *, by_map: bool = False
) -> Iterator[tuple[np.ndarray, Pairs, Float[Tensor, "maps cells places tfs"]]]:
    """Scores of all pairs in batches of cells: rows of the cells, pairs, and the mean over the maps (or each)."""
    for rows in batches(cells.length, how.batch_size):
        x = sequences(cells, rows, how)
        pairs, places = _pairs(x, panel)
        parts = []
        with autocast(how):
            for number, q, k, norm in net.attended(x, maps.depth, norms=maps.kind == "softmax"):
                if number in maps.heads:
                    parts.append(_layer_scores(maps, number, (q, k, norm), x, places, by_map=by_map))
        score = torch.cat(parts) if by_map else torch.stack(parts).sum(dim=0)[None] / len(maps)
        yield rows, pairs, score


def _pairs(x: Sequences, panel: Panel) -> tuple[Pairs, Int64[Tensor, "cells tfs"]]:
    """Pairs of a batch, and the places of the regulators (padded with any)."""
    gene = torch.where(x.genes, panel.gene[x.index], -1)
    column = torch.where(x.genes, panel.tf[x.index], -1)
    n_most = int((column >= 0).sum(dim=1).max())
    places = (column < 0).to(torch.int8).argsort(dim=1, stable=True)[:, :n_most]
    tf = column.gather(1, places)
    return Pairs(gene, tf, (gene >= 0)[:, :, None] & (tf >= 0)[:, None, :]), places


def _layer_scores(
    maps: Maps, number: int, of_layer: tuple[Tensor, Tensor, Tensor | None], x: Sequences,
    places: Int64[Tensor, "cells tfs"], *, by_map: bool,
) -> Float[Tensor, "heads cells places tfs"] | Float[Tensor, "cells places tfs"]:  # fmt: skip
    """Scores of one layer, summed over its heads unless `by_map`."""
    heads = maps.heads[number]
    q, k = (part[:, heads].float() for part in of_layer[:2])
    at = places[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[3])
    if maps.kind == "rank":
        return _ranked(q, k, x, places, by_map=by_map)
    score = q @ k.gather(2, at).transpose(2, 3)
    if (norm := of_layer[2]) is not None:  # the softmax of these keys among all
        score = score.mul_(q.shape[3] ** -0.5).sub_(norm[:, heads, :, None]).exp_()
    return score.transpose(0, 1) if by_map else score.sum(dim=1)


def _ranked(
    q: Float[Tensor, "cells heads places width"], k: Float[Tensor, "cells heads places width"], x: Sequences,
    places: Int64[Tensor, "cells tfs"], *, by_map: bool,
) -> Float[Tensor, "heads cells places tfs"] | Float[Tensor, "cells places tfs"]:  # fmt: skip
    """Columns of the regulators in the square of ranks among keys, ranked among queries; a few cells at a time."""
    n_cells, n_heads, n_places, _ = q.shape
    step = max(1, SQUARE_BYTES // (4 * n_heads * n_places**2))
    out = []
    for first in range(0, n_cells, step):
        part = slice(first, first + step)
        score = _columns(q[part] @ k[part].transpose(2, 3), x.length[part], places[part])
        out.append(score.transpose(0, 1) if by_map else score.sum(dim=1))
    return torch.cat(out, dim=1 if by_map else 0)


def _columns(
    square: Float[Tensor, "cells heads places places"],
    length: Int64[Tensor, " cells"],
    columns: Int64[Tensor, "cells tfs"],
) -> Float[Tensor, "cells heads places tfs"]:
    """Places of some keys, by counting on the CPU, else by sorting."""
    if has_kernels(square):
        out = square.new_zeros(*square.shape[:3], columns.shape[1])
        for own, n, some, into in zip(square.numpy(), length.tolist(), columns.numpy(), out.numpy(), strict=True):
            ranked_columns(own, n, some, into)
        return out
    silent = torch.arange(square.shape[2], device=square.device) >= length[:, None]
    n, index = length[:, None, None, None], columns[:, None, None, :].expand(*square.shape[:3], -1)
    ranks = _rank(square.masked_fill(silent[:, None, None, :], INF), 3).gather(3, index) / n
    return _rank(ranks.masked_fill(silent[:, None, :, None], INF), 2) / n


def _rank(x: Tensor, dim: int) -> Float[Tensor, "..."]:
    """Place of every value among those along a dimension, from 0; ties in their order."""
    order = x.argsort(dim=dim, stable=True)
    places = torch.arange(x.shape[dim], dtype=torch.float32, device=x.device)
    shape = [1] * x.dim()
    shape[dim] = -1
    return torch.empty_like(x, dtype=torch.float32).scatter_(dim, order, places.view(shape).expand_as(x).contiguous())


@dataclass(slots=True)
class QueryKeySums:
    """Sums of queries and keys over cells, by layer and gene; the tokens before the genes are rows behind them."""

    queries: Float[Tensor, "layers genes dim"]
    keys: Float[Tensor, "layers genes dim"]
    seen: Float[Tensor, " genes"]

    @classmethod
    def zeros(cls, n_genes: int, net: FoundationNet, how: Reading) -> QueryKeySums:
        """Nothing added yet."""
        n = n_genes + how.front
        queries = torch.zeros(net.n_layers, n, net.dim, device=how.device)
        return cls(queries, torch.zeros_like(queries), torch.zeros(n, device=how.device))


@torch.inference_mode()
def add_queries_keys(
    net: FoundationNet, cells: CellTokens, how: Reading, panel: Panel, layers: Sequence[int], sums: QueryKeySums
) -> None:
    """Add the queries and keys of every gene in some cells."""
    for rows in batches(cells.length, how.batch_size):
        x = sequences(cells, rows, how)
        row = torch.where(x.genes, panel.gene[x.index], -1)
        row[:, : how.front] = panel.shape[0] + torch.arange(how.front, device=row.device)
        kept = row >= 0
        with autocast(how):
            for number, q, k, _ in net.attended(x, max(layers) + 1):
                if number not in layers:
                    continue
                for total, part in ((sums.queries, q), (sums.keys, k)):
                    flat = part.float().transpose(1, 2).flatten(2)
                    total[number].index_add_(0, row[kept], flat[kept])
        sums.seen.index_add_(0, row[kept], torch.ones_like(row[kept], dtype=torch.float32))


@torch.inference_mode()
def attention_of_means(
    sums: QueryKeySums,
    heads: dict[int, Int64[Tensor, " heads"]],
    n_heads: int,
    tfs: Int64[Tensor, " tfs"],
    n_genes: int,
) -> Float32[np.ndarray, "genes tfs"]:
    """Softmax attention between the mean queries and keys of genes, mean over heads; NaN for genes that no cell holds."""
    there = torch.nonzero(sums.seen > 0)[:, 0]
    out = torch.full((n_genes, tfs.numel()), float("nan"), device=there.device)
    column = torch.full((sums.seen.numel(),), -1, device=there.device)
    column[there] = torch.arange(there.numel(), device=there.device)
    inside, rows = column[tfs] >= 0, there[there < n_genes]
    total = torch.zeros(rows.numel(), int(inside.sum()), device=there.device)
    for number, chosen in heads.items():
        q, k = (
            (part[number][there] / sums.seen[there, None]).view(there.numel(), n_heads, -1).transpose(0, 1)[chosen]
            for part in (sums.queries, sums.keys)
        )
        step = max(1, SQUARE_BYTES // (4 * chosen.numel() * there.numel()))
        for first in range(0, rows.numel(), step):
            score = q[:, first : min(first + step, rows.numel())] @ k.transpose(1, 2) * k.shape[2] ** -0.5
            total[first : first + step] += score.softmax(dim=2)[:, :, column[tfs[inside]]].sum(dim=0)
    n_maps = sum(chosen.numel() for chosen in heads.values())
    out[rows[:, None], torch.nonzero(inside)[:, 0]] = total / n_maps
    return out.cpu().numpy()
