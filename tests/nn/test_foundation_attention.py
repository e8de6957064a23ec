"""Scores of pairs by attention: equal to loops over cells with whole maps, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from grnformer_sc._core.rows import as_rows
from grnformer_sc.grn.systems.foundation.links import best_links, gene_level, signed_by_correlation
from grnformer_sc.model import Foundation, Geneformer, ScGPT
from grnformer_sc.model.foundation_scores import Scorer
from grnformer_sc.nn import blocks
from grnformer_sc.nn.foundation import attention, base
from grnformer_sc.nn.foundation.base import sequences
from grnformer_sc.nn.foundation.options import FoundationOptions

GENES = [f"G{i}" for i in range(18)]
TFS = np.array([2, 5, 11, 17])  # the last is not in the vocabulary


def a_model(kind: str) -> Foundation:
    if kind == "scgpt":
        model: Foundation = ScGPT.untrained(GENES[:17], dim=8, heads=2, layers=3, n_places=12)
    else:
        model = Geneformer.untrained(dict.fromkeys(GENES[:17], 1.0), dim=8, heads=2, n_places=12, framed=True)
    for name, value in model.net.named_parameters():
        if value.dim() > 1 and "norm" not in name:
            value.mul_(3 if kind == "scgpt" else 25)  # attention far from even
    return model


def some_counts() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.lognormal(0, 1, size=(11, 1)), size=(11, 18)).astype(np.float32)
    x[:, 0] += 1
    return sp.csr_matrix(x)


def scorer_of(model: Foundation, **options: object) -> Scorer:
    place = model.counts_of(as_rows(some_counts()), pd.Index(GENES)).place
    return Scorer.of(model, place, TFS, FoundationOptions(checkpoint=model, device="cpu", **options))


def ranks(x: np.ndarray, axis: int) -> np.ndarray:
    return x.argsort(axis=axis, kind="stable").argsort(axis=axis, kind="stable") / x.shape[axis]


def loop(model: Foundation, kind: str, layers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Scores by cell and map (cells x maps x genes x genes, NaN where a gene is no token): one cell, whole maps."""
    ((_, block),) = model.encode(model.counts_of(as_rows(some_counts()), pd.Index(GENES)))
    how, net = model.reading(device="cpu"), model.net
    gene_of = {int(token): GENES.index(name) for name, token in zip(model.genes, model.tokens, strict=True)}
    out = np.full((11, len(layers) * net.heads, 18, 18), np.nan)
    means = np.zeros((2, net.n_layers, 18, net.heads, net.dim // net.heads)), np.zeros(18)
    for cell in range(11):
        x = sequences(block, np.array([cell]), how)
        with torch.inference_mode():
            states = list(net.inputs(x))
            qk = [[part[0].numpy() for part in net.projections(i, states[i])[:2]] for i in range(net.n_layers)]
        at = [(i, gene_of[int(t)]) for i, t in enumerate(x.index[0]) if int(t) in gene_of]
        place, gene = (np.array(part) for part in zip(*at, strict=True))
        maps = []
        for number in layers:
            q, k = qk[number]
            for head in range(net.heads):
                s = q[head] @ k[head].T
                if kind == "softmax":
                    s = np.exp(s / np.sqrt(q.shape[2]))
                    s = s / s.sum(axis=1, keepdims=True)
                maps.append(ranks(ranks(s, 1), 0) if kind == "rank" else s)
        for number, full in enumerate(maps):
            out[cell, number][np.ix_(gene, gene)] = full[np.ix_(place, place)]
        for i in range(net.n_layers):
            for which in range(2):
                np.add.at(means[0][which, i], gene, qk[i][which][:, place].transpose(1, 0, 2))
        means[1][gene] += 1
    return out, means[0] / np.maximum(means[1], 1)[:, None, None]


def mean_of(x: np.ndarray) -> np.ndarray:
    """Mean over cells, NaN where none has a value."""
    n = np.isfinite(x).sum(axis=0)
    return np.divide(np.nansum(x, axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)


@pytest.mark.parametrize("name", ["geneformer", "scgpt"])
@pytest.mark.parametrize(("kind", "layers"), [("softmax", None), ("softmax", -2), ("raw", None), ("rank", None)])
@pytest.mark.parametrize(("batch_size", "square"), [(1, 2**26), (4, 1), (16, 2**26)])
def test_attention_is_that_of_a_loop_with_whole_maps(name, kind, layers, batch_size, square, monkeypatch):
    monkeypatch.setattr(attention, "SQUARE_BYTES", square)
    model = a_model(name)
    scorer = scorer_of(model, attention=kind, layers=layers, batch_size=batch_size)
    read = list(scorer.maps.heads)
    assert read == ([1] if layers == -2 else [0, 1, 2] if kind == "softmax" else [2])
    whole, _ = loop(model, kind, read)
    expected = mean_of(whole.mean(axis=1))[:, TFS]
    found = scorer.scores(some_counts())
    assert np.isnan(found[:, 3]).all()  # a regulator without a token
    np.testing.assert_allclose(found, expected, atol=2e-5 if kind != "raw" else 2e-4)
    by_map = scorer.attention(some_counts(), by_map=True)
    np.testing.assert_allclose(by_map.mean(axis=0), found, atol=1e-4)
    one = scorer.with_maps(np.array([1])).scores(some_counts())
    np.testing.assert_allclose(one, by_map[1], atol=1e-5)


def test_counted_places_are_sorted_places(monkeypatch):
    rng = np.random.default_rng(0)
    square = torch.from_numpy(rng.integers(0, 6, size=(3, 2, 9, 9)).astype(np.float32))  # ties everywhere
    length, columns = torch.tensor([9, 7, 1]), torch.tensor([[8, 0, 3], [2, 6, 2], [0, 0, 0]])
    counted = attention._columns(square, length, columns)
    monkeypatch.setattr(blocks, "KERNELS_ON", "elsewhere")
    by_sorting = attention._columns(square, length, columns)
    for cell, n in enumerate(length):
        np.testing.assert_array_equal(counted[cell, :, :n], by_sorting[cell, :, :n])
        expected = ranks(ranks(square[cell, :, :n, :n].numpy(), 2), 1)[:, :, columns[cell]]
        np.testing.assert_allclose(counted[cell, :, :n], expected, rtol=1e-6)


def test_attention_in_cells_is_that_of_a_loop():
    scorer = scorer_of(a_model("geneformer"), batch_size=3)
    gene, tf = np.array([0, 4, 9, 16]), np.array([1, 0, 2, 1])
    found = scorer.in_cells(some_counts(), sp.csr_matrix((np.arange(1, 5), (gene, tf)), (18, 4)))
    whole, _ = loop(a_model("geneformer"), "softmax", [0, 1, 2])
    right = whole.mean(axis=1)[:, gene, TFS[tf]]
    np.testing.assert_allclose(found.toarray(), np.nan_to_num(right), atol=1e-5)
    assert np.isfinite(right).any(axis=0).all()


@pytest.mark.parametrize("name", ["geneformer", "scgpt"])
def test_attention_of_mean_queries_and_keys_is_its_formula(name):
    model = a_model(name)
    scorer = scorer_of(model, attention="mean_qk", batch_size=4)
    found = scorer.scores(some_counts())
    front = [part[0].numpy() for part in _front_means(model)]
    _, (q, k) = loop(model, "raw", [2])
    seen = np.isfinite(found).any(axis=1)
    expected = np.zeros((18, 18))
    for i in range(3):
        keys = np.concatenate([k[i][seen], front[i][None]])
        s = np.exp(np.einsum("ghd,khd->hgk", q[i][seen], keys) / 2)
        expected[np.ix_(seen, seen)] += (s / s.sum(axis=2, keepdims=True)).mean(axis=0)[:, :-1] / 3
    np.testing.assert_allclose(found[seen][:, :3], expected[seen][:, TFS[:3]], atol=1e-5)


def _front_means(model: Foundation) -> list[torch.Tensor]:
    """Mean key of the first token in every layer."""
    ((_, block),) = model.encode(model.counts_of(as_rows(some_counts()), pd.Index(GENES)))
    out = []
    with torch.inference_mode():
        x = sequences(block, np.arange(11), model.reading(device="cpu"))
        for _, _, k, _ in model.net.attended(x, model.net.n_layers):
            out.append(k[:, :, 0].mean(dim=0)[None])
    return out


class TestLinks:
    def test_means_of_genes_and_regulators_explain_what_is_additive(self):
        rng = np.random.default_rng(0)
        gene, tf = rng.normal(size=(60, 1)), rng.normal(size=(1, 9))
        share, left = gene_level(gene + tf)
        assert share == pytest.approx(1)
        assert np.abs(left).max() < 1e-12
        noise = rng.normal(size=(60, 9))
        share, left = gene_level(noise)
        assert 0 < share < 0.3
        np.testing.assert_allclose(left.mean(axis=0), 0, atol=1e-12)
        hole = gene + tf
        hole[rng.random(hole.shape) < 0.3] = np.nan
        share, left = gene_level(hole)
        assert share > 0.9999
        assert (np.isnan(left) == np.isnan(hole)).all()

    def test_the_best_of_every_regulator_without_itself(self):
        scores = np.array([[9.0, 1.0], [2.0, 9.0], [3.0, np.nan], [-1.0, 4.0], [0.5, 5.0]])
        found = best_links(scores, np.array([0, 1]), top=2)
        assert {(i, j): v for i, j, v in zip(*sp.find(found), strict=True)} == {
            (0, 1): 2.0, (0, 2): 3.0, (1, 3): 4.0, (1, 4): 5.0,
        }  # fmt: skip

    def test_signs_are_those_of_correlations(self):
        rng = np.random.default_rng(1)
        x = rng.poisson(2, size=(200, 6)).astype(np.float32)
        x[:, 3], x[:, 4] = x[:, 0] + rng.poisson(1, 200), np.maximum(9 - x[:, 0], 0)
        x[:, 5] = 1
        links = sp.csr_matrix(([0.5, 0.4, 0.3], ([0, 0, 0], [3, 4, 5])), (6, 6))
        assert signed_by_correlation(links, sp.csr_matrix(x)).toarray()[0].tolist() == [0, 0, 0, 0.5, -0.4, 0.3]


@pytest.mark.parametrize("padded", [False, True])
def test_sums_of_the_softmax_are_the_same_without_the_kernel(padded, monkeypatch):
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 9, 4, generator=rng) for _ in range(3))
    mask = (torch.arange(9) < torch.tensor([[9], [6]]))[:, None, None, :] if padded else None
    heard, norm = base.attend(q, k, v, mask, norms=True)
    monkeypatch.setattr(base, "CPU_KERNEL", "no_such_kernel")
    for found, right in zip(base.attend(q, k, v, mask, norms=True), (heard, norm), strict=True):
        torch.testing.assert_close(found, right)
    assert base.attend(q, k, v, mask)[1] is None
