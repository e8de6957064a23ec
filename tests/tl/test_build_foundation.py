"""`build_grn` with foundation models: planted attention is found, heads are judged on other TFs, runs can be stopped."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc._core.checkpoint import Checkpoint
from grnformer_sc.model import Geneformer, ScGPT

N_GENES, N_TFS = 40, 5
GENES = [f"G{i:02d}" for i in range(N_GENES)]
TFS = GENES[:N_TFS]
REGULATOR = np.arange(N_GENES) % N_TFS  # of every gene; TFs regulate themselves, which is no link
TRUTH = pd.DataFrame({"tf": [GENES[REGULATOR[i]] for i in range(N_TFS, N_GENES)], "gene": GENES[N_TFS:]})


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """Two conditions; the genes of a regulator follow it, those of G00 against it."""
    rng = np.random.default_rng(0)
    activity = rng.gamma(2, 1, size=(60, N_TFS))
    rate = np.where(REGULATOR == 0, 3 / (0.3 + activity[:, REGULATOR]), activity[:, REGULATOR])
    rate[:, :N_TFS] = activity
    x = rng.poisson(2 * rate).astype(np.float32)
    x[:, 0] += 1
    obs = pd.DataFrame({"condition": np.repeat(["a", "b"], 30)}, index=[f"c{i}" for i in range(60)])
    return AnnData(sp.csr_matrix(x), obs=obs, var=pd.DataFrame(index=GENES))


@pytest.fixture
def planted() -> Geneformer:
    """A model in the first head of whose first layer every gene attends to its regulator; the others are random."""
    model = Geneformer.untrained(dict.fromkeys(GENES, 1.0), dim=96, heads=2, layers=2, rng=1)
    net = model.net
    codes = torch.eye(N_GENES, 96) * 10
    codes[:, 48:] = torch.eye(N_GENES, 48) * 10
    net.tokens.weight[torch.from_numpy(model.tokens)] = codes
    net.positions.weight.zero_()
    first = net.layers[0]
    # query of a gene: the code of its regulator; key: its own code (first head only)
    first.query.weight[:48] = 0
    first.query.weight[torch.from_numpy(REGULATOR), torch.arange(N_GENES)] = 1
    first.key.weight[:48] = torch.eye(48, 96)
    return model


def build(cells: AnnData, model: object, **options: object) -> pd.DataFrame:
    method = "scgpt" if isinstance(model, ScGPT) else "geneformer"
    given = {"checkpoint": model, "device": "cpu", **options}
    groupby = given.pop("groupby", None)
    grs.tl.build_grn(cells, method=method, tfs=TFS, groupby=groupby, options=given)
    return cells.uns[f"grn_{method}"]["edges"]


def precision(edges: pd.DataFrame) -> float:
    return grs.metrics.link_recovery(edges, TRUTH, universe=N_TFS * N_GENES)["aupr"]


def test_planted_attention_is_found_with_its_signs(cells, planted):
    edges = build(cells, planted, layers=0)
    random = build(cells, Geneformer.untrained(dict.fromkeys(GENES, 1.0), dim=96, heads=2, layers=2))
    assert precision(edges) > 0.95
    assert precision(random) < 0.35
    best = edges.sort_values("score", ascending=False).head(35)
    assert (np.sign(best.loc[best["tf"] == "G00", "sign"]) == -1).mean() > 0.8
    assert (best.loc[best["tf"] != "G00", "sign"] == 1).mean() > 0.8
    assert not (edges["tf"].astype(str) == edges["gene"].astype(str)).any()


def test_heads_are_chosen_by_some_tfs_and_judged_by_others(cells, planted, caplog):
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        edges = build(cells, planted, prior=TRUTH, n_heads=1)
    table = cells.uns["grn_geneformer"]["heads"]
    assert table["chosen"].tolist() == [True, False, False, False, False, False]
    assert table.iloc[0][["layer", "head"]].tolist() == ["0", "0"]
    assert table["held_out"].iloc[-1] > 0.95
    assert table["held_out"].iloc[1:4].max() < 0.5
    assert precision(edges) > 0.95
    assert "1 of 4 chosen by" in caplog.text


def test_groups_less_the_others_are_the_difference_of_two_conditions(cells, planted):
    edges = build(cells, planted, relative=True, groupby="condition", top=N_GENES)
    a, b = (_scores(cells[cells.obs["condition"] == group].copy(), planted) for group in ("a", "b"))
    both = a.join(b, lsuffix="_a", rsuffix="_b", how="inner")
    size = edges.groupby(["tf", "gene"], observed=True)["tf_gene_importance"].max()
    shared = both.join(size, how="inner")
    assert len(shared) > 50
    np.testing.assert_allclose(
        shared["tf_gene_importance"], (shared["tf_gene_importance_a"] - shared["tf_gene_importance_b"]).abs(), rtol=1e-3
    )


def _scores(cells: AnnData, model: Geneformer) -> pd.DataFrame:
    edges = build(cells, model, top=N_GENES)
    return edges.groupby(["tf", "gene"], observed=True)[["tf_gene_importance"]].max()


def test_attention_of_cells_is_stored_by_link(cells, planted):
    edges = build(cells, planted, per_cell=True, layers=0)
    stored = cells.obsm["grn_geneformer_cells"]
    assert stored.shape == (60, len(edges))
    mean = stored.toarray().sum(axis=0) / (stored.toarray() > 0).sum(axis=0)
    np.testing.assert_allclose(mean, edges["tf_gene_importance"], rtol=1e-4)


@pytest.mark.parametrize("score", ["embedding", "token_embedding", "deletion", "overexpression"])
def test_other_scores_are_what_the_tools_measure(score, cells):
    some = cells[:12].copy()
    planted = Geneformer.untrained(dict.fromkeys(GENES, 1.0), dim=8, heads=2, layers=2)
    edges = build(some, planted, score=score, top=N_GENES)
    found = edges.set_index(["tf", "gene"])["tf_gene_importance"]
    if score in ("deletion", "overexpression"):
        grs.tl.in_silico_perturbation(some, planted, TFS, kind=score, device="cpu")
        right = some.varm[f"geneformer_{score}"]
    else:
        if score == "embedding":
            grs.tl.embed(some, planted, device="cpu")
            x = some.varm["geneformer"]
        else:
            x = planted.net.tokens.weight[torch.from_numpy(planted.tokens)].numpy()
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        right = x @ x[:N_TFS].T
    for (tf, gene), value in found.sample(30, random_state=0).items():
        assert value == pytest.approx(right[GENES.index(gene), GENES.index(tf)], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("score", ["deletion", "overexpression"])
def test_links_by_predicted_expression_have_the_sign_of_the_change(score, cells):
    some, model = cells[:12].copy(), ScGPT.untrained(GENES, dim=8, heads=2, rng=3)
    edges = build(some, model, score=score, measure="expression", top=N_GENES)
    grs.tl.in_silico_perturbation(some, model, TFS, kind=score, measure="expression", device="cpu")
    change = pd.DataFrame(some.varm[f"scgpt_{score}"], GENES, TFS)
    change = change if score == "overexpression" else -change
    right = [change.loc[gene, tf] for tf, gene in zip(edges["tf"], edges["gene"], strict=True)]
    np.testing.assert_allclose(edges["tf_gene_importance"] * edges["sign"], right, rtol=1e-4, atol=1e-7)
    assert set(edges["sign"]) == {-1, 1}
    assert len(edges) > 100


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(cells, planted, tmp_path, monkeypatch):
    monkeypatch.setattr("grnformer_sc.model.foundation_scores.TFS_OF_PART", 2)
    some, options = cells[:12].copy(), {"checkpoint": planted, "score": "deletion", "device": "cpu"}
    build(some, planted, score="deletion")
    whole, keep, made = some.uns["grn_geneformer"]["edges"], Checkpoint.keep, []

    def stopping(self: Checkpoint, name: str, make: object) -> np.ndarray:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(name)
        return keep(self, name, make)

    monkeypatch.setattr(Checkpoint, "keep", stopping)
    with pytest.raises(KeyboardInterrupt):
        grs.tl.build_grn(some, method="geneformer", tfs=TFS, options=options, resume=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(Checkpoint, "keep", keep)
    grs.tl.build_grn(some, method="geneformer", tfs=TFS, options=options, resume=tmp_path)
    pd.testing.assert_frame_equal(some.uns["grn_geneformer"]["edges"], whole)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_regulator_that_one_group_lacks_is_compared_with_the_groups_that_hold_it(cells, planted):
    silent = cells.copy()
    silent.obs["condition"] = np.repeat(["a", "b", "c"], 20)
    x = silent.X.toarray()
    x[40:, 1] = 0
    silent.X = sp.csr_matrix(x)
    edges = build(silent, planted, relative=True, groupby="condition", top=N_GENES)
    alone = build(silent[:40].copy(), planted, relative=True, groupby="condition", top=N_GENES)
    own, right = (
        part[part["tf"] == "G01"].groupby("gene", observed=True)["tf_gene_importance"].max() for part in (edges, alone)
    )
    assert len(right) > 20
    np.testing.assert_allclose(own[right.index], right, rtol=1e-4)


@pytest.mark.parametrize("how", [{"relative": True}, {"center": True}])
def test_signs_are_those_of_the_change_whatever_it_is_compared_with(how, cells):
    some, model = cells[24:36].copy(), ScGPT.untrained(GENES, dim=8, heads=2, rng=3)
    edges = build(some, model, score="deletion", measure="expression", groupby="condition", top=10, **how)
    sign = edges.drop_duplicates(["tf", "gene", "sign"])
    for group in ("a", "b"):
        own = some[some.obs["condition"] == group].copy()
        grs.tl.in_silico_perturbation(own, model, TFS, kind="deletion", measure="expression", device="cpu")
        change = pd.DataFrame(own.varm["scgpt_deletion"], GENES, TFS)
        held = grs.get.grn(some, key="grn_scgpt", group=group)
        assert len(held) > 20
        assert all(
            np.sign(change.loc[gene, tf]) == -s
            for tf, gene, s in zip(held["tf"], held["gene"], held["sign"], strict=True)
        )
    assert set(sign["sign"]) == {-1, 1}


def test_genes_with_one_token_share_its_links_and_are_no_targets_of_themselves(cells):
    twins = cells[:12].copy()
    twins.var["id"] = ["G01" if name == "G30" else name for name in GENES]
    model = Geneformer.untrained(dict.fromkeys(GENES, 1.0), dim=8, heads=2, layers=2)
    for score in ("attention", "embedding", "deletion"):
        edges = build(twins, model, score=score, top=N_GENES, gene_ids="id")
        names = edges[["tf", "gene"]].astype(str)
        assert not ((names["tf"] == "G01") & names["gene"].isin(["G01", "G30"])).any()
        table = names.assign(size=edges["tf_gene_importance"]).pivot_table("size", "gene", "tf")
        one, twin = table.loc[["G01", "G30"], ["G00", "G02", "G03", "G04"]].to_numpy()
        np.testing.assert_allclose(one, twin)
        assert np.isfinite(one).all()


def test_what_cannot_be_is_named(cells, planted):
    gpt = ScGPT.untrained(GENES, dim=8, heads=2)
    cases = [
        ({"checkpoint": gpt}, TypeError, "checkpoint of method='geneformer' must be a path or a grs.model.Geneformer"),
        ({"checkpoint": "no/such"}, FileNotFoundError, "a Geneformer is a folder with config.json"),
        ({"score": "guess"}, ValueError, "score must be one of"),
        ({"layers": 7}, ValueError, "layers must be 'all' or a number from -2 to 1. Found: 7"),
        ({"n_heads": 2}, ValueError, "prior and n_heads go together"),
        ({"per_cell": True, "attention": "mean_qk"}, ValueError, "per_cell needs the attention of single cells"),
        ({"prior": TRUTH.head(2), "n_heads": 1}, ValueError, "known links of at least 4 regulators. Found: 2 of 5"),
        ({"relative": True}, ValueError, "relative=True compares groups of cells. Found: 1 group"),
        (
            {"score": "flag"},
            ValueError,
            "'flag' needs a model that is told which genes are perturbed.*Found: a Geneformer",
        ),
        (
            {"score": "deletion", "measure": "expression"},
            ValueError,
            "a head that predicts expression. Found: a Geneformer",
        ),
        (
            {"measure": "expression"},
            ValueError,
            "compares a gene before and after a perturbation. Found: score='attention'",
        ),
        ({"measure": "guess"}, ValueError, "measure must be one of"),
        ({"gene_ids": "id"}, KeyError, "gene_ids='id' names no column of var"),
        ({"top": 0}, ValueError, "top must lie in"),
        (
            {"score": "embedding", "layers": 0},
            ValueError,
            "layers says how attention is read. Found: score='embedding'",
        ),
        ({"score": "token_embedding", "relative": True}, ValueError, "scores that differ between groups"),
        ({"device": "cuda:7"}, ValueError, "device must be one of this machine. Found: 'cuda:7'"),
    ]
    for options, error, text in cases:
        with pytest.raises(error, match=text):
            grs.tl.build_grn(
                cells, method="geneformer", tfs=TFS, options={"checkpoint": planted, "device": "cpu", **options},
                key_added="bad",
            )  # fmt: skip
    with pytest.raises(ValueError, match="must be told"):
        grs.tl.build_grn(cells, method="scgpt", tfs=TFS)
    small = Geneformer.untrained(dict.fromkeys(GENES[N_TFS:], 1.0), dim=8, heads=2)
    with pytest.raises(ValueError, match="a regulator must be in the vocabulary"):
        build(cells, small)
    assert "bad" not in cells.uns
