"""Held-out prediction equals scikit-learn's ridge, and knock-outs move the targets that were planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr, wasserstein_distance
from sklearn.linear_model import Ridge

import grnformer_sc as grs
from grnformer_sc._core.rng import as_root, generator
from grnformer_sc.metrics import _knockouts, _prediction


def regulated(n_cells: int = 400, n_tfs: int = 12, n_genes: int = 40, seed: int = 0):
    """Sparse non-negative TFs and genes; every gene but the last ten is driven by two TFs."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(1.0, (n_cells, n_tfs)).astype(float)
    links = pd.DataFrame(
        [(f"t{(g * 3 + j) % n_tfs}", f"g{g}", float(2 - j)) for g in range(n_genes - 10) for j in range(2)],
        columns=["tf", "gene", "score"],
    )
    y = rng.normal(size=(n_cells, n_genes))
    for tf, gene, weight in links.itertuples(index=False):
        y[:, int(gene[1:])] += weight * x[:, int(tf[1:])]
    names = {
        "source_names": pd.Index([f"t{i}" for i in range(n_tfs)]),
        "target_names": pd.Index([f"g{i}" for i in range(n_genes)]),
    }
    return links, {"sources": sp.csr_matrix(x), "targets": y, **names}


@pytest.mark.parametrize("block", [4_000_000, 3_000])
def test_prediction_equals_ridge_gene_by_gene(monkeypatch, block):
    monkeypatch.setattr(_prediction, "BLOCK", block)
    links, data = regulated()
    figures, table = grs.metrics.held_out_prediction(links, **data, rng=4)
    x, y = data["sources"].toarray(), data["targets"]
    held = np.zeros(len(y), bool)
    held[generator(as_root(4), "held_out").permutation(len(y))[: round(len(y) / 3)]] = True
    for gene, own in links.groupby("gene"):
        columns = [int(tf[1:]) for tf in own["tf"]]
        a, b = x[:, columns], y[:, int(gene[1:])]
        a = (a - a[~held].mean(0)) / a[~held].std(0)
        b = (b - b[~held].mean()) / b[~held].std()
        guess = (
            Ridge(alpha=_prediction.PENALTY * (~held).sum(), fit_intercept=False)
            .fit(a[~held], b[~held])
            .predict(a[held])
        )
        assert table.loc[gene, "rho"] == pytest.approx(spearmanr(guess, b[held])[0], abs=1e-10)
        assert table.loc[gene, "p"] == pytest.approx(
            spearmanr(guess, b[held], alternative="greater")[1], rel=1e-6, abs=1e-250
        )
        assert table.loc[gene, "r2"] == pytest.approx(
            1 - ((b[held] - guess) ** 2).sum() / (b[held] ** 2).sum(), abs=1e-10
        )
    assert figures["precision"] == 1
    assert figures["recall"] == 0.75
    assert figures["f01"] == pytest.approx(1.01 * 0.75 / (0.01 + 0.75))
    assert figures["n_linked"] == 30


def test_only_the_best_sources_are_used_and_order_plays_no_part():
    links, data = regulated()
    noise = pd.DataFrame({"tf": [f"t{i}" for i in range(12)], "gene": "g0", "score": 0.1})
    more = pd.concat([links, noise]).drop_duplicates(["tf", "gene"]).sample(frac=1, random_state=0)
    _, table = grs.metrics.held_out_prediction(more, **data, top=2)
    _, plain = grs.metrics.held_out_prediction(links, **data)
    pd.testing.assert_frame_equal(table, plain)


def test_wrong_links_predict_nothing():
    links, data = regulated(n_cells=1500)
    wrong = grs.metrics.rewired_links(links, rng=0)
    shared = pd.MultiIndex.from_frame(wrong[["tf", "gene"]]).isin(pd.MultiIndex.from_frame(links[["tf", "gene"]]))
    figures, _ = grs.metrics.held_out_prediction(wrong[~shared], **data)
    assert figures["precision"] < 0.1


def test_a_gene_does_not_predict_itself_and_constant_genes_are_not_predicted():
    _, data = regulated()
    data = data | {"sources": data["targets"], "source_names": data["target_names"]}
    loops = pd.DataFrame({"tf": ["g1", "g2"], "gene": ["g1", "g3"], "score": 1.0})
    assert grs.metrics.held_out_prediction(loops, **data)[1].index.tolist() == ["g3"]
    flat = data | {"targets": np.zeros_like(data["targets"])}
    assert grs.metrics.held_out_prediction(loops, **flat)[0]["precision"] == 0


def test_errors_of_prediction_name_what_does_not_fit():
    links, data = regulated(n_cells=60)
    with pytest.raises(ValueError, match=r"links must name columns of both matrices.*T1"):
        grs.metrics.held_out_prediction(links.assign(tf=links["tf"].str.upper()), **data)
    with pytest.raises(ValueError, match="the same cells"):
        grs.metrics.held_out_prediction(links, **(data | {"targets": data["targets"][:50]}))
    with pytest.raises(ValueError, match="number of left-out cells"):
        grs.metrics.held_out_prediction(links, **data, test=0.01)


def screen(seed: int = 0):
    """Log-like sparse expression of 300 genes; without A its 20 targets fall, without B nothing moves."""
    rng = np.random.default_rng(seed)
    genes = pd.Index([f"g{i}" for i in range(298)] + ["A", "B"])
    x = rng.poisson(rng.gamma(2, 0.7, 300), (700, 300)).astype(float)
    label = np.array(["control"] * 400 + ["A"] * 150 + ["B"] * 150)
    down = np.arange(0, 100, 5)
    without = np.ix_(label == "A", down)
    x[without] = rng.binomial(x[without].astype(int), 0.4)
    x[label == "A", 298] = 0
    links = pd.DataFrame({"tf": "A", "gene": genes[down], "weight": 1.0})
    links = pd.concat([links, pd.DataFrame({"tf": "B", "gene": genes[1:41:2], "weight": 1.0})], ignore_index=True)
    return links, {"expression": sp.csr_matrix(x), "genes": genes, "knockout": label}


def test_distances_equal_scipy():
    _, data = screen()
    x, label = data["expression"], data["knockout"]
    cells, controls = np.flatnonzero(label == "A"), np.flatnonzero(label == "control")
    got = _knockouts._distances(x, cells, controls)
    dense = x.toarray()
    wanted = [wasserstein_distance(dense[cells, j], dense[controls, j]) for j in range(300)]
    np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_targets_that_fall_are_seen_and_others_stay_at_chance():
    links, data = screen()
    shift = grs.metrics.knockout_shift(links, **data)
    assert shift.loc["A", "place"] > 0.85
    assert shift.loc["A", "recall"] > 5 * shift.loc["A", "recall_random"]
    assert abs(shift.loc["B", "place"] - 0.5) < 0.2
    activity = grs.metrics.knockout_activity(links, **data)
    assert activity.loc["A", "z"] < -5
    assert activity.loc["A", "place"] == 1
    assert abs(activity.loc["B", "z"]) < 3


def test_random_targets_are_at_chance_over_many_draws():
    _, data = screen()
    places = []
    for seed in range(40):
        gene = np.random.default_rng(seed).choice(data["genes"][:298], 20, replace=False)
        places.append(grs.metrics.knockout_shift(pd.DataFrame({"tf": "A", "gene": gene}), **data).loc["A", "place"])
    assert abs(np.mean(places) - 0.5) < 4 * 0.3 / np.sqrt(20 * 40)


def test_activity_is_the_slope_of_a_linear_model():
    import statsmodels.api as sm

    links, data = screen()
    weights = links.assign(weight=np.linspace(-1, 2, len(links)))
    got = grs.metrics.knockout_activity(weights, **data)
    x, label = data["expression"].toarray(), data["knockout"]
    control = x[label == "control"]
    change = (x[label == "A"].mean(0) - control.mean(0)) / control.std(0)
    change[data["genes"] == "A"] = 0
    of_gene = weights[weights["tf"] == "A"].set_index("gene")["weight"].reindex(data["genes"]).fillna(0)
    fit = sm.OLS(change, sm.add_constant(of_gene.to_numpy())).fit()
    assert got.loc["A", "activity"] == pytest.approx(fit.tvalues[1], rel=1e-9)


def test_errors_of_knockouts():
    links, data = screen()
    with pytest.raises(ValueError, match=r"control='ntc' must label some cells.*control"):
        grs.metrics.knockout_shift(links, **data, control="ntc")
    with pytest.raises(ValueError, match="at least one knocked-out gene must be a TF of the network"):
        grs.metrics.knockout_shift(links.assign(tf="Z"), **data)
    with pytest.raises(ValueError, match="one row per label"):
        grs.metrics.knockout_activity(links, **(data | {"knockout": data["knockout"][:10]}))


def test_screens_need_no_form_of_their_own(tmp_path, monkeypatch):
    """Labels of any kind, double knock-outs, genes that were not measured, few cells, any order: nothing is written."""
    monkeypatch.chdir(tmp_path)
    links, data = screen()
    label = data["knockout"].astype(object)
    label[650:] = [f"B+{i % 3}" for i in range(50)]  # other knock-outs, some of several genes
    label[640:643] = "Zfp1"  # no measured gene, three cells
    label[643] = "g0"  # a gene without links
    expected = grs.metrics.knockout_shift(links, **(data | {"knockout": label}))
    assert expected.index.tolist() == ["A", "B"]
    assert expected["n_cells"].tolist() == [150, (label == "B").sum()]
    for kind in (list, pd.Series, lambda x: pd.Series(pd.Categorical(x)), lambda x: np.asarray(x, dtype=str)):
        pd.testing.assert_frame_equal(grs.metrics.knockout_shift(links, **(data | {"knockout": kind(label)})), expected)
    order = np.random.default_rng(0).permutation(300)
    other = {"expression": data["expression"].toarray()[:, order], "genes": data["genes"][order], "knockout": label}
    pd.testing.assert_frame_equal(
        grs.metrics.knockout_shift(links, **other)[["place", "shift"]], expected[["place", "shift"]]
    )
    named = np.where(label == "control", "non-targeting", label)
    again = grs.metrics.knockout_shift(links, **(data | {"knockout": named}), control="non-targeting")
    pd.testing.assert_frame_equal(again, expected)
    assert list(tmp_path.iterdir()) == []
