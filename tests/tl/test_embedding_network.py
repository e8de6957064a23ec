"""`build_grn(method="embedding")`: the cosines of a user's embedding, its losses, its errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import grnformer_sc as grs

N_GENES, N_TFS, WIDTH = 40, 4, 8
GENES = [f"G{i:02d}" for i in range(N_GENES)]
TFS = GENES[:N_TFS]
REGULATOR = np.arange(N_GENES) % N_TFS


@pytest.fixture
def cells() -> AnnData:
    """The genes of a regulator follow it, those of G00 against it."""
    rng = np.random.default_rng(0)
    activity = rng.gamma(2, 1, size=(60, N_TFS))
    rate = np.where(REGULATOR == 0, 3 / (0.3 + activity[:, REGULATOR]), activity[:, REGULATOR])
    rate[:, :N_TFS] = activity
    return AnnData(sp.csr_matrix(rng.poisson(2 * rate).astype(np.float32)), var=pd.DataFrame(index=GENES))


@pytest.fixture
def embedding() -> pd.DataFrame:
    """Genes near their regulator, all of them drawn in one direction."""
    rng = np.random.default_rng(1)
    x = np.eye(WIDTH)[REGULATOR] + 0.1 * rng.normal(size=(N_GENES, WIDTH)) + 0.5
    return pd.DataFrame(x, index=GENES).sample(frac=1, random_state=0)


def build(cells: AnnData, embedding: object, **options: object) -> pd.DataFrame:
    grs.tl.build_grn(cells, method="embedding", tfs=TFS, options={"embedding": embedding, **options})
    return cells.uns["grn_embedding"]["edges"]


def test_links_are_the_largest_cosines_with_the_signs_of_the_cells(cells, embedding):
    edges = build(cells, embedding, top=9)
    x = embedding.loc[GENES].to_numpy()
    cosine = x @ x.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(x, axis=1)
    np.fill_diagonal(cosine, -1)
    for i, tf in enumerate(TFS):
        part = edges[edges["tf"] == tf].set_index("gene")["tf_gene_importance"]
        best = np.argsort(-cosine[i])[:9]
        assert set(part.index) == {GENES[g] for g in best}
        np.testing.assert_allclose(part.loc[[GENES[g] for g in best]], cosine[i, best], rtol=1e-5)
        assert {int(g[1:]) % N_TFS for g in part.index} == {i}  # what was planted
    sign = edges.groupby("tf", observed=True)["sign"].mean()
    assert sign["G00"] < -0.5
    assert sign.drop("G00").min() > 0.5
    assert 0 <= cells.uns["grn_embedding"]["gene_level"][0] < 0.5


def test_centred_cosines_have_no_mean_of_a_gene_or_a_regulator(cells, embedding):
    far = embedding.copy()
    far.loc["G39"] = 50 * embedding.to_numpy().mean(axis=0)  # near to all
    assert (build(cells, far, top=12)["gene"] == "G39").sum() == N_TFS
    assert (build(cells, far, top=12, center=True)["gene"] == "G39").sum() < N_TFS


def test_a_key_of_varm_is_read_and_the_recipe_says_what_was_lost(cells, embedding):
    cells.varm["genept"] = embedding.loc[GENES].to_numpy()
    first = build(cells, embedding)
    pd.testing.assert_frame_equal(build(cells, "genept"), first)
    params = cells.uns["grn_embedding"]["params"]
    assert params["options"]["embedding"] == "genept"
    build(cells, embedding.drop(index=["G00", "G30"]))
    dropped = cells.uns["grn_embedding"]["params"]["dropped"]
    assert dropped["genes_without_embedding"] == 2
    assert dropped["regulators_without_embedding"] == 1


def test_what_cannot_be_is_refused_before_anything_is_written(cells, embedding):
    with pytest.raises(ValueError, match=r"must be told \[embedding\]"):
        grs.tl.build_grn(cells, method="embedding", tfs=TFS)
    with pytest.raises(ValueError, match=r"at least 50% of the genes must be in the gene embedding"):
        build(cells, embedding.iloc[:5])
    with pytest.raises(ValueError, match="a regulator must be in the embedding"):
        build(cells, embedding.drop(index=TFS))
    cells.obs["type"] = "a"
    with pytest.raises(ValueError, match="one network of all cells"):
        grs.tl.build_grn(cells, method="embedding", tfs=TFS, groupby="type", options={"embedding": embedding})
    away = embedding.mul(np.where(embedding.index == "G00", 1, -1), axis=0)
    with pytest.raises(ValueError, match="no cosine above 0"):
        grs.tl.build_grn(cells, method="embedding", tfs=["G00"], options={"embedding": away})
    assert "grn_embedding" not in cells.uns
