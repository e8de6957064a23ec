"""Networks from a foundation model beside loops over single cells, with random weights of the size of Geneformer (6 layers).

The loop is what one writes by hand: one cell at a time through the network with the attention maps of all layers kept, the
mean map added to genes x genes. Deletions are made one sequence at a time. The random weights play no part in the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from race import run

N_TOKENS, N_GENES, N_TFS = 1200, 4000, 200
SIZES = {"dim": 256, "heads": 4, "layers": 6, "hidden": 512}
SMALL = {"dim": 32, "heads": 2, "layers": 3, "hidden": 64}
N_CELLS = 12
BATCH = {"cpu": 4, "cuda": 16}


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def ratio(slow: Any, found: Any) -> float:
    """How much less time was spent; CPU seconds say nothing of a GPU."""
    return slow.cpu_s / found.cpu_s if device() == "cpu" else slow.wall_s / found.wall_s


def where() -> str:
    return "" if device() == "cpu" else ", on a GPU"


def inputs(n_cells: int, *, n_tokens: int = N_TOKENS, sizes: dict[str, int] = SIZES) -> tuple[Any, sp.csr_matrix]:
    """A model, and cells with so many tokens each."""
    from grnformer_sc.model import Geneformer

    rng = np.random.default_rng(0)
    genes = [f"G{i}" for i in range(N_GENES)]
    model = Geneformer.untrained(dict.fromkeys(genes, 1.0), **sizes)
    columns = np.concatenate([np.sort(rng.permutation(N_GENES)[:n_tokens]) for _ in range(n_cells)])
    counts = rng.poisson(3, size=columns.size).astype(np.float32) + 1
    return model, sp.csr_matrix((counts, columns, np.arange(n_cells + 1) * n_tokens), (n_cells, N_GENES))


def ours(kind: str, n_cells: int, layers: Any = None) -> Callable[[], np.ndarray]:
    """Scores genes x regulators."""
    from grnformer_sc.model.foundation_scores import Scorer
    from grnformer_sc.nn.foundation.options import FoundationOptions

    model, counts = inputs(n_cells)
    options = FoundationOptions(
        checkpoint=model, attention=kind, layers=layers, device=device(), batch_size=BATCH[device()]
    )
    scorer = Scorer.of(model, np.arange(N_GENES), np.arange(N_TFS), options)
    return lambda: scorer.scores(counts)


def loop(kind: str, n_cells: int) -> Callable[[], np.ndarray]:
    """One cell at a time, all maps kept; only the mean over cells of the wanted ones is returned."""
    import torch
    from torch.nn import functional

    from grnformer_sc.nn.foundation.base import sequences

    model, counts = inputs(n_cells)
    net, how = model.net, model.reading(device=device())

    @torch.inference_mode()
    def maps_of(x: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        h, raw, soft = net.embed(x), [], []
        for number in range(net.n_layers):
            q, k, v = net.projections(number, h)
            square = q @ k.transpose(2, 3)
            weights = functional.softmax(square * q.shape[3] ** -0.5, dim=-1)
            raw.append(square)
            soft.append(weights)
            h = net.after_attention(number, h, (weights @ v).transpose(1, 2).reshape(h.shape))
        return raw, soft

    def call() -> np.ndarray:
        total = np.zeros((N_GENES, N_GENES), dtype=np.float32)
        seen = np.zeros((N_GENES, N_GENES), dtype=np.float32)
        cells = model.tokens_of(counts, np.arange(N_GENES))
        for cell in range(n_cells):
            x = sequences(cells, np.array([cell]), how)
            raw, soft = maps_of(x)
            if kind == "softmax":
                mean = torch.stack(soft).mean(dim=(0, 1, 2))
            elif kind == "raw":
                mean = raw[-1][0].mean(dim=0)
            else:
                n = x.index.shape[1]
                rank = raw[-1][0].argsort(dim=2).argsort(dim=2) / n
                mean = (rank.argsort(dim=1).argsort(dim=1) / n).mean(dim=0)
            gene = x.index[0].cpu().numpy() - 2
            total[np.ix_(gene, gene)] += mean.cpu().numpy()
            seen[np.ix_(gene, gene)] += 1
        return (total / np.maximum(seen, 1))[:, :N_TFS]

    return call


@pytest.mark.parametrize("kind", ["softmax", "raw", "rank"])
def bench_attention(record: Callable[..., None], kind: str) -> None:
    found, slow = run(ours, kind, N_CELLS, repeats=2), run(loop, kind, N_CELLS, repeats=2)
    there = np.isfinite(found.result)
    assert np.abs(found.result[there] - slow.result[there]).max() < (
        5e-2 if kind == "rank" else 1e-4
    )  # of ranks those of near ties
    what = f"attention ({kind}), {N_CELLS} cells x {N_TOKENS} tokens{where()}"
    record(what, "grnformer_sc", **found.row(), ratio=ratio(slow, found))
    record(what, "loop over cells, whole maps", **slow.row())


def bench_mean_queries_and_keys(record: Callable[..., None]) -> None:
    found = run(ours, "mean_qk", N_CELLS, repeats=2)
    record(f"attention (mean_qk), {N_CELLS} cells x {N_TOKENS} tokens", "grnformer_sc", **found.row())


def bench_memory(record: Callable[..., None]) -> None:
    few, many = (run(ours, "softmax", n, repeats=1) for n in (N_CELLS, 4 * N_CELLS))
    record(f"memory of attention, {N_CELLS} cells", "grnformer_sc", **few.row())
    record(
        f"memory of attention, {4 * N_CELLS} cells", "grnformer_sc", **many.row(), ratio=many.extra_mb / few.extra_mb
    )


def deletions(batch_size: int, n_tokens: int, sizes: dict[str, int]) -> Callable[[], np.ndarray]:
    """Shifts of 5 cells by some hundred deletions in all."""
    model, counts = inputs(5, n_tokens=n_tokens, sizes=sizes)
    how = model.reading(device=device(), batch_size=batch_size)
    cells = model.tokens_of(counts, np.arange(N_GENES))
    deleted = np.unique(cells.tokens)[:: max(1, cells.tokens.size // 400)][:200]

    def call() -> np.ndarray:
        from grnformer_sc.nn.foundation.read import perturb

        return perturb(model.net, cells, deleted, how, None)

    return call


@pytest.mark.parametrize(("n_tokens", "sizes"), [(300, SIZES), (36, SMALL)], ids=["large", "small"])
def bench_deletion(record: Callable[..., None], n_tokens: int, sizes: dict[str, int]) -> None:
    found, slow = (run(deletions, size, n_tokens, sizes, repeats=3) for size in ({"cpu": 32, "cuda": 128}[device()], 1))
    np.testing.assert_allclose(found.result, slow.result, atol=1e-5)
    n = int(np.isfinite(found.result).sum())
    what = f"deletion, {n} sequences of {n_tokens} tokens, width {sizes['dim']}{where()}"
    record(what, "grnformer_sc", **found.row(), ratio=ratio(slow, found))
    record(what, "one sequence at a time", **slow.row())
