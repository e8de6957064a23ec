"""What a foundation model says of pairs gene - regulator in some cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64

from .._core.checkpoint import Checkpoint
from .._core.checks import fail, listing
from .._core.rows import Rows
from ..nn.foundation.attention import (
    Maps,
    PairSums,
    Panel,
    QueryKeySums,
    add_attention,
    add_queries_keys,
    attention_of_means,
    pair_scores,
)
from ..nn.foundation.base import CellTokens, Reading
from ..nn.foundation.options import MEASURES, PERTURBATIONS, FoundationOptions
from ..nn.foundation.read import GeneSums, embed
from .foundation import Foundation

TFS_OF_PART = 32  # of a run that can be stopped: perturbed regulators
OF_LAST = ("raw", "rank")  # kinds of attention that are read from the last layer by default


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores pairs of genes and regulators of some data with one model.

    Attributes
    ----------
    model
        The model.
    place
        Place in the vocabulary of every gene of the data, -1 without one.
    tfs
        Places of the regulators among the genes of the data.
    options
        What is scored and how.
    how
        How cells pass the network.
    maps
        Attention maps that are read.
    """

    model: Foundation
    place: Int64[np.ndarray, " genes"]
    tfs: Int64[np.ndarray, " tfs"]
    options: FoundationOptions
    how: Reading
    maps: Maps

    @classmethod
    def of(
        cls, model: Foundation, place: Int64[np.ndarray, " genes"], tfs: Int64[np.ndarray, " tfs"],
        options: FoundationOptions,
    ) -> Scorer:  # fmt: skip
        """Scorer that reads all heads of the layers that the options name."""
        if options.score in PERTURBATIONS:
            model.need_perturbation(options.score, options.measure)
        how = model.reading(
            emb_layer=0 if options.measure == "expression" else options.emb_layer,
            batch_size=options.batch_size, device=options.device,
            precision=options.precision,  # type: ignore[arg-type]
        )  # fmt: skip
        kind = options.attention or model.attention
        heads = {n: torch.arange(model.net.heads, device=how.device) for n in layers_of(model, options.layers, kind)}
        return cls(model, place, tfs, options, how, Maps(heads, kind))

    @property
    def tokens(self) -> Int64[np.ndarray, " genes"]:
        """Token of every gene of the data, -1 without one."""
        return np.where(self.place >= 0, self.model.tokens[self.place], -1)

    def panel(self, tfs: Int64[np.ndarray, " tfs"] | None = None) -> Panel:
        """Pairs that are kept."""
        return Panel.of(self.tokens, self.tfs if tfs is None else tfs, self.model.net.n_tokens, self.how.device)

    def kept_scores(self, counts: sp.csr_matrix, checkpoint: Checkpoint) -> Float32[np.ndarray, "genes tfs"]:
        """Scores in some cells, each part of a long run once."""
        if checkpoint.folder is None:
            return self.scores(counts)
        o, heads = self.options, {n: part.tolist() for n, part in self.maps.heads.items()}
        what = str((o.score, o.measure, self.maps.kind, o.emb_layer, o.precision, heads))
        kept = checkpoint.of("foundation", counts, self.place, self.tfs, what, *self.model.decisive())
        step = TFS_OF_PART if o.score in PERTURBATIONS else self.tfs.size
        parts = []
        for first in range(0, self.tfs.size, step):
            some = replace(self, tfs=self.tfs[first : first + step])
            parts.append(kept.keep(f"tfs-{first}", partial(some.scores, counts)))
        return np.concatenate(parts, axis=1)

    def scores(self, counts: sp.csr_matrix) -> Float32[np.ndarray, "genes tfs"]:
        """Scores in some cells: means over those in which both are tokens, NaN where there is none."""
        if self.options.score == "attention":
            return self._mean_qk(counts) if self.maps.kind == "mean_qk" else self.attention(counts)[0]
        if self.options.score == "token_embedding":
            with torch.inference_mode():
                table = self.model.net.token_embedding().float().cpu().numpy()
            return self._cosines(self._by_gene(table))
        if self.options.score == "embedding":
            sums = GeneSums.zeros(self.model.net.n_tokens, self.model.net.dim, counts=1, device=self.how.device)
            for cells in self._blocks(counts):
                embed(self.model.net, cells, self.how, sums)
            return self._cosines(self._by_gene(sums.mean()))
        return self._shifts(counts)

    def of_pairs(self, scores: Float32[np.ndarray, "genes tfs"]) -> Float32[np.ndarray, "genes tfs"]:
        """Scores for all genes of one token, NaN for a token with itself."""
        tokens = self.tokens
        out = scores[shared(tokens)][:, shared(tokens[self.tfs])]
        out[tokens[:, None] == tokens[self.tfs]] = np.nan
        return out

    def attention(
        self, counts: sp.csr_matrix, *, tfs: Int64[np.ndarray, " tfs"] | None = None, by_map: bool = False
    ) -> Float32[np.ndarray, "maps genes tfs"]:
        """Mean attention over the maps, or of each of them."""
        panel = self.panel(tfs)
        sums = PairSums.zeros(panel, len(self.maps) if by_map else 1, self.how.device)
        for cells in self._blocks(counts):
            add_attention(self.model.net, cells, self.how, panel, self.maps, sums)
        return sums.mean()

    def read_for(
        self, gene: Int64[np.ndarray, " links"], tf: Int64[np.ndarray, " links"]
    ) -> tuple[Int64[np.ndarray, " links"], Int64[np.ndarray, " links"]]:
        """Gene and regulator that attention is read for, which have the tokens of these."""
        return shared(self.tokens)[gene], shared(self.tokens[self.tfs])[tf]

    def in_cells(self, counts: sp.csr_matrix, links: sp.csr_matrix) -> sp.csr_matrix:
        """Attention of links in every cell (cells x links); `links` (genes x regulators) holds their numbers from 1."""
        panel, parts, first = self.panel(), [], 0
        for cells in self._blocks(counts):
            for rows, pairs, score in pair_scores(self.model.net, cells, self.how, panel, self.maps):
                kept = pairs.kept.cpu().numpy()
                cell, query, key = np.nonzero(kept)
                gene, tf = pairs.gene.cpu().numpy()[cell, query], pairs.tf.cpu().numpy()[cell, key]
                number = np.asarray(links[gene, tf]).ravel()
                there = number > 0
                value = score[0].cpu().numpy()[kept][there]
                parts.append((value, first + rows[cell[there]], number[there] - 1))
            first += cells.length.size
        value, row, column = (np.concatenate(part) for part in zip(*parts, strict=True))
        return sp.csr_matrix((value.astype(np.float32), (row, column)), (counts.shape[0], links.nnz))

    def with_maps(self, chosen: Int64[np.ndarray, " maps"]) -> Scorer:
        """Scorer that reads some of its maps, by their numbers."""
        layer = np.concatenate([np.full(heads.numel(), n) for n, heads in self.maps.heads.items()])[chosen]
        head = torch.cat(list(self.maps.heads.values()))[torch.from_numpy(chosen).to(self.how.device)]
        heads = {int(n): head[torch.from_numpy(layer == n).to(head.device)] for n in np.unique(layer)}
        return replace(self, maps=replace(self.maps, heads=heads))

    def _mean_qk(self, counts: sp.csr_matrix) -> Float32[np.ndarray, "genes tfs"]:
        net, panel, n_genes = self.model.net, self.panel(), self.place.size
        sums = QueryKeySums.zeros(n_genes, net, self.how)
        for cells in self._blocks(counts):
            add_queries_keys(net, cells, self.how, panel, list(self.maps.heads), sums)
        tfs = torch.from_numpy(self.tfs).to(self.how.device)
        return attention_of_means(sums, self.maps.heads, net.heads, tfs, n_genes)

    def _shifts(self, counts: sp.csr_matrix) -> Float32[np.ndarray, "genes tfs"]:
        places = self.place[self.tfs]
        known = places >= 0
        genes = places[known]
        sums = GeneSums.zeros(self.model.net.n_tokens, genes.size, counts=genes.size, device=self.how.device)
        kind = next(name for name in PERTURBATIONS if name == self.options.score)
        measure = next(name for name in MEASURES if name == self.options.measure)
        for first, block in Rows(counts).blocks():
            self.model.perturb_block(block, self.place, genes, self.how, sums, first=first, kind=kind, measure=measure)
        out = np.full((self.place.size, self.tfs.size), np.nan, dtype=np.float32)
        out[:, known] = self._by_gene(sums.mean())
        return out

    def _by_gene(self, by_token: Float32[np.ndarray, "tokens width"]) -> Float32[np.ndarray, "genes width"]:
        tokens = self.tokens
        return np.where((tokens >= 0)[:, None], by_token[tokens], np.float32(np.nan))

    def _cosines(self, x: Float32[np.ndarray, "genes width"]) -> Float32[np.ndarray, "genes tfs"]:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return x @ x[self.tfs].T

    def _blocks(self, counts: sp.csr_matrix) -> Iterator[CellTokens]:
        for first, block in Rows(counts).blocks():
            yield self.model.tokens_of(block, self.place, first=first)


def shared(tokens: Int64[np.ndarray, " genes"]) -> Int64[np.ndarray, " genes"]:
    """For every gene the last one with its token, for which scores are kept; those without a token stay themselves."""
    places = np.arange(tokens.size)
    last = np.full(int(tokens.max(initial=-1)) + 2, -1)
    last[tokens[tokens >= 0]] = places[tokens >= 0]
    return np.where(tokens >= 0, last[tokens], places)


def layers_of(model: Foundation, wanted: int | str | None, kind: str) -> list[int]:
    """Numbers of the layers whose attention of this kind is read."""
    n = model.net.n_layers
    if wanted is None:
        wanted = -1 if kind in OF_LAST else "all"
    if wanted == "all":
        return list(range(n))
    if not -n <= int(wanted) < n:
        raise fail(
            ValueError, f"layers must be 'all' or a number from {-n} to {n - 1}.", f"{wanted}.",
            f"this {model.title} has {listing([str(n)])} layers.",
        )  # fmt: skip
    return [int(wanted) % n]


def needed_bytes(scorer: Scorer) -> float:
    """Memory of the sums of one group."""
    n_genes, n_tfs, net = scorer.place.size, scorer.tfs.size, scorer.model.net
    pairs = 8.0 * n_genes * n_tfs
    if scorer.options.score == "attention" and scorer.maps.kind == "mean_qk":
        return pairs + 8.0 * net.n_layers * n_genes * net.dim
    width = 2 * n_tfs if scorer.options.score in PERTURBATIONS else net.dim
    return pairs + (0 if scorer.options.score == "attention" else 8.0 * net.n_tokens * width)
