"""Attention on the network, added up group by group: what each gene receives, and the strongest pairs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Float64, Int

from .._core.checks import fail
from .._core.rng import generator
from ..data.batch import Collator
from ..grn.network import Network
from ..nn.fusion import GRNFormerNet
from ..nn.graph import StructureGraph
from .enrichment import matched_enrichment, tf_enrichment
from .inference import batches, exact

logger = logging.getLogger(__name__)

MAX_CELLS = 1000  # cells per group whose attention is read; the mean changes little beyond
MIN_CELLS, MIN_SHARE = 3, 0.05  # a target must be expressed in so many of them


@dataclass(frozen=True, slots=True)
class AttentionSummary:
    """Attention per group.

    Attributes
    ----------
    received
        Mean attention that a gene receives from the expressed genes of a cell (genes x groups; 0 outside the network).
    edges
        Strongest pairs: `group`, `regulator`, `target`, `weight` (mean attention of the target on the regulator over
        the cells that express the target), `in_network`.
    enrichment
        TFs against other genes of the network per group: `rho`, and the same against genes of equal degree and of equal
        expression, with permutation p values; `sink` is the attention that goes to no gene. NaN when only TFs are keys.
    group_names
        Column names of `received`.
    """

    received: Float32[np.ndarray, "genes groups"]
    edges: pd.DataFrame
    enrichment: pd.DataFrame
    group_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _GroupSums:
    nodes: Int[np.ndarray, " nodes"]
    mass: Float64[np.ndarray, " nodes"]
    sink: float
    tfs: Int[np.ndarray, " tfs"]
    pairs: Float64[np.ndarray, "genes tfs"]
    seen: Float64[np.ndarray, " genes"]
    n_cells: int


def summarise(
    net: GRNFormerNet,
    collator: Collator,
    rows: Int[np.ndarray, " cells"],
    *,
    network: Network,
    genes: pd.Index,
    group_rates: Float64[np.ndarray, "groups genes"],
    top: int,
    batch_size: int,
    root: int,
) -> AttentionSummary:
    """Read the attention of up to 1,000 cells per group."""
    if net.graph is None:
        raise fail(
            ValueError, "attention on genes needs a network.", "a model with use_grn=False.", "train with use_grn=True."
        )
    net.eval()
    names = network.group_names
    received = np.zeros((genes.size, len(names)), dtype=np.float32)
    edges: list[pd.DataFrame] = []
    enrichment: list[dict[str, Any]] = []
    for group, name in enumerate(names):
        members = rows[collator.cells.codes[rows] == group]
        if members.size == 0 or not net.graph.key_present[group].any():
            logger.info("group %r: no cells or no network, no attention", name)
            continue
        rng = generator(root, "attention", name)
        if members.size > MAX_CELLS:
            members = np.sort(rng.choice(members, MAX_CELLS, replace=False))
        sums = _group_sums(net, net.graph, collator, members, group, batch_size=batch_size)
        received[sums.nodes, group] = sums.mass
        links = _links(net.graph, group)
        edges.append(_top_pairs(sums, links, genes, top).assign(group=name))
        enrichment.append({"group": name, **_enrichment(sums, links, group_rates[group], rng), "sink": sums.sink})
    return AttentionSummary(received, _edge_frame(edges), _enrichment_frame(enrichment), names)


@torch.inference_mode()
def _group_sums(
    net: GRNFormerNet, graph: StructureGraph, collator: Collator, rows: np.ndarray, group: int, *, batch_size: int
) -> _GroupSums:
    """Add up the attention of one group's cells; all of them share their keys."""
    index, filled = (keys[group].cpu().numpy() for keys in graph.keys(tf_only=net.tf_keys_only))
    present, nodes = filled, index[filled]
    is_tf = graph.is_tf.cpu().numpy()[nodes]
    n_genes, zeros = graph.n_genes, exact(graph.weight.new_zeros(0)).new_zeros
    columns = torch.from_numpy(np.flatnonzero(present)[is_tf]).to(zeros(0).device)
    pairs, seen, mass = zeros(n_genes, columns.numel()), zeros(n_genes), zeros(present.size + 1)
    for _, batch in batches(net, collator, rows, batch_size=batch_size):
        token = ~batch.padding
        share = exact(token / token.sum(dim=1, keepdim=True).clamp(min=1))  # every cell counts alike
        place = net.backbone.places(batch)
        for part, weights in net.attention(batch):
            cell, column = torch.nonzero(token & (place >= part.start) & (place < part.stop), as_tuple=True)
            read = exact(weights[cell, place[cell, column] - part.start])
            of = batch.genes[cell, column].to(read.device)
            mass += share[cell, column] @ read
            pairs.index_add_(0, of, read[:, columns])
            seen += torch.bincount(of, minlength=n_genes)
    mean, pairs, seen = (mass / rows.size).cpu().numpy(), pairs.cpu(), seen.cpu()
    return _GroupSums(nodes, mean[:-1][present], float(mean[-1]), nodes[is_tf], pairs.numpy(), seen.numpy(), rows.size)


def _links(graph: StructureGraph, group: int) -> tuple[np.ndarray, np.ndarray]:
    links = graph.edges(torch.tensor([group], device=graph.indptr.device))
    return links.tf.cpu().numpy(), links.gene.cpu().numpy()


def _top_pairs(sums: _GroupSums, links: tuple[np.ndarray, np.ndarray], genes: pd.Index, top: int) -> pd.DataFrame:
    enough = sums.seen >= max(MIN_CELLS, MIN_SHARE * sums.n_cells)
    mean = np.where(enough[:, None], sums.pairs / np.maximum(sums.seen, 1)[:, None], 0.0)
    mean[sums.tfs, np.arange(sums.tfs.size)] = 0  # a TF's attention on itself is no link
    best = np.argsort(-mean, axis=None, kind="stable")[:top]
    best = best[mean.ravel()[best] > 0]
    target, column = np.unravel_index(best, mean.shape)
    regulator = sums.tfs[column]
    known = np.isin(regulator * genes.size + target, links[0] * genes.size + links[1])
    return pd.DataFrame(
        {
            "regulator": genes[regulator].astype(str),
            "target": genes[target].astype(str),
            "weight": mean.ravel()[best].astype(np.float32),
            "in_network": known,
        }
    )


def _enrichment(
    sums: _GroupSums, links: tuple[np.ndarray, np.ndarray], rates: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    is_tf = np.isin(sums.nodes, sums.tfs)
    if not sums.mass[~is_tf].any():
        is_tf = np.ones_like(is_tf)  # only TFs are keys: nothing to compare with
    degree = (np.bincount(links[0], minlength=rates.size) + np.bincount(links[1], minlength=rates.size))[sums.nodes]
    plain = tf_enrichment(sums.mass, is_tf, rng)
    by_degree = matched_enrichment(sums.mass, is_tf, degree.astype(float), rng)
    by_expression = matched_enrichment(sums.mass, is_tf, np.log(rates[sums.nodes]), rng)
    return {
        "n_tfs": int(sums.tfs.size),
        "n_nodes": int(sums.nodes.size),
        "rho": plain.rho,
        "p_value": plain.p_value,
        "rho_degree_matched": by_degree.rho,
        "p_degree_matched": by_degree.p_value,
        "rho_expression_matched": by_expression.rho,
        "p_expression_matched": by_expression.p_value,
    }


EDGE_COLUMNS = ("group", "regulator", "target", "weight", "in_network")
ENRICHMENT_COLUMNS = (
    "group", "n_tfs", "n_nodes", "rho", "p_value", "rho_degree_matched", "p_degree_matched", "rho_expression_matched",
    "p_expression_matched", "sink",
)  # fmt: skip


def _edge_frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(EDGE_COLUMNS))
    frame = frame[list(EDGE_COLUMNS)].astype(dict.fromkeys(EDGE_COLUMNS[:3], "category"))
    return frame.set_index(frame.index.astype(str))


def _enrichment_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(ENRICHMENT_COLUMNS)).astype({"group": str})
    return frame.set_index(frame.index.astype(str))
