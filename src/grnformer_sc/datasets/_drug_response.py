"""Cell lines with a known network, whose response to drugs follows the activity of some TFs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core.checks import need_between
from .._core.keys import TRUTH
from .._core.rng import RngLike, as_root, generator
from ._layout import numbered

if TYPE_CHECKING:
    from anndata import AnnData

# substituents that can stand before and behind the ring
GROUPS = ("C", "CC", "CCC", "O", "N", "S", "F", "Cl", "Br", "I", "CO", "CN", "CS", "CCO", "CCN", "CCS", "OC", "NC")
RANK = 3
TARGETS = 12  # of a TF
GENE_NOISE = 0.7
TISSUE = 0.5  # share of the variance of a TF's activity that lies between tissues


def simulate_drug_response(
    n_lines: int = 80,
    *,
    n_drugs: int = 24,
    n_genes: int = 120,
    n_tfs: int = 12,
    n_tissues: int = 6,
    missing: float = 0.2,
    noise: float = 0.3,
    rng: RngLike = 0,
) -> AnnData:
    """Simulate bulk cell lines and their response to drugs.

    Expression follows TF activities along a signed network and is scaled to z-scores per gene, as bulk tables often are.
    Responses are offsets of drugs and lines plus a part of rank 3: what a line brings is read off its TF activities, what a
    drug brings off its structure, two groups on a benzene ring.

    Parameters
    ----------
    n_lines, n_drugs, n_genes, n_tfs, n_tissues
        Sizes; TFs are not among the genes; at most 324 drugs.
    missing
        Share of the pairs that is not measured.
    noise
        Standard deviation of a measured response, where that between lines is about 1 for every drug.
    rng
        The same number gives the same bytes.

    Returns
    -------
    AnnData lines x genes, float32 z-scores, with `obs["tissue"]`, `uns["response"]` (table `line`, `drug`, `value`),
    `uns["smiles"]` (table by drug) and `uns["truth"]` (links `tf`, `gene`, `sign`).

    Raises
    ------
    ValueError
        A size is out of range.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> lines = grs.datasets.simulate_drug_response(40, n_drugs=10, rng=0)
    >>> lines.shape, lines.uns["response"].columns.tolist()
    ((40, 120), ['line', 'drug', 'value'])
    """
    from anndata import AnnData

    need_between(n_tissues, 1, n_lines, name="n_tissues")
    need_between(n_drugs, 2, len(GROUPS) ** 2, name="n_drugs")
    need_between(n_tfs, RANK, 10_000, name="n_tfs")
    need_between(n_genes, TARGETS, 1_000_000, name="n_genes")
    need_between(missing, 0, 0.9, name="missing")
    need_between(noise, 0, 100, name="noise")
    root = as_root(rng)
    lines, drugs, genes = numbered("line", n_lines, 3), numbered("drug", n_drugs, 3), numbered("gene", n_genes, 4)
    cells = generator(root, "lines")
    tissue = cells.permutation(np.arange(n_lines) % n_tissues)
    activity = TISSUE**0.5 * cells.normal(size=(n_tissues, n_tfs))[tissue]
    activity += (1 - TISSUE) ** 0.5 * cells.normal(size=(n_lines, n_tfs))
    network = generator(root, "network")
    links = np.zeros((n_tfs, n_genes))
    for number in range(n_tfs):
        links[number, network.choice(n_genes, TARGETS, replace=False)] = network.choice([-1.0, 1.0, 1.0], TARGETS)
    x = activity @ links + GENE_NOISE * cells.normal(size=(n_lines, n_genes))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    value, smiles = _responses(activity, n_drugs, noise, root)
    kept = generator(root, "missing").random(value.shape) >= missing
    row, column = np.nonzero(kept)
    tf, gene = np.nonzero(links)
    obs = pd.DataFrame({"tissue": pd.Categorical.from_codes(tissue, numbered("tissue", n_tissues, 1))}, index=lines)
    out = AnnData(x.astype(np.float32), obs=obs, var=pd.DataFrame(index=genes))
    out.uns["response"] = pd.DataFrame(
        {"line": np.array(lines)[row], "drug": np.array(drugs)[column], "value": value[row, column]}
    )
    out.uns["smiles"] = pd.DataFrame({"smiles": smiles}, index=drugs)
    names = np.array(numbered("TF", n_tfs, 2))
    out.uns[TRUTH] = pd.DataFrame(
        {"tf": names[tf], "gene": np.array(genes)[gene], "sign": links[tf, gene].astype(np.int8)}
    )
    for table in (out.uns["response"], out.uns[TRUTH]):
        table.index = table.index.astype(str)
    return out


def _responses(activity: np.ndarray, n_drugs: int, noise: float, root: int) -> tuple[np.ndarray, list[str]]:
    """Lines x drugs, and the structures."""
    rng = generator(root, "response")
    pairs = rng.permutation(len(GROUPS) ** 2)[:n_drugs]
    first, second = np.divmod(pairs, len(GROUPS))
    effect = rng.normal(size=(2, len(GROUPS), RANK + 1))
    drug = (effect[0, first] + effect[1, second]) / 2**0.5
    into = rng.normal(size=(activity.shape[1], RANK)) / activity.shape[1] ** 0.5
    own = rng.normal(size=len(activity)) * 0.3
    value = 2 * drug[:, RANK] + own[:, None] + activity @ into @ drug[:, :RANK].T / RANK**0.5
    value += noise * rng.normal(size=value.shape)
    return value, [f"{GROUPS[a]}c1ccc({GROUPS[b]})cc1" for a, b in zip(first, second, strict=True)]
