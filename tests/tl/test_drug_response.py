"""`tl.drug_response` and its partners: set-up, folds, features, drugs, networks, readers, figures, errors."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs

KEY = "drug_response_grnformer"


def network_of(lines: Any) -> pd.DataFrame:
    return lines.uns["truth"].rename(columns={"tf": "source", "gene": "target", "sign": "weight"})


@pytest.fixture(scope="module")
def made() -> Any:
    """Lines with responses, structures and the true network; never changed."""
    lines = grs.datasets.simulate_drug_response(60, n_drugs=14, rng=0)
    grs.pp.drug_response_setup(lines, lines.uns["response"], smiles=lines.uns["smiles"]["smiles"])
    grs.pp.add_network(lines, network_of(lines))
    return lines


@pytest.fixture
def lines(made: Any) -> Any:
    return made.copy()


def within(lines: Any, key: str = KEY) -> float:
    return float(grs.metrics.within_correlation(grs.get.drug_response(lines, key=key)).median())


class TestSetup:
    def test_repeated_pairs_are_averaged_and_counted(self, made: Any, caplog: pytest.LogCaptureFixture) -> None:
        table = made.uns["response"]
        moved = pd.concat([table.assign(value=table["value"] - 1), table.assign(value=table["value"] + 1)])
        again = made.copy()
        with caplog.at_level(logging.INFO):
            grs.pp.drug_response_setup(again, moved.sample(frac=1, random_state=0))
        np.testing.assert_allclose(again.obsm["drug_response"], made.obsm["drug_response"], atol=1e-12)
        assert f"{len(table)} repeated pairs averaged" in caplog.text
        with pytest.raises(ValueError, match="once"):
            grs.pp.drug_response_setup(again, moved, duplicates="error")

    def test_several_ids_of_one_compound_become_one_drug(self) -> None:
        wide = pd.DataFrame({"A": [1.0, 3.0, None], "B": [2.0, None, 7.0]}, index=["GDSC:1", "GDSC:2", "GDSC:3"])
        table = grs.priors.read_gdsc(wide, drugs={"1": "c", "GDSC:2": "c"})
        assert table.to_numpy().tolist() == [["A", "c", "1", 1.0], ["B", "c", "1", 2.0], ["A", "c", "2", 3.0]]
        with pytest.raises(ValueError, match="ids of the matrix"):
            grs.priors.read_gdsc(wide, drugs={"9": "c"})
        with pytest.raises(ValueError, match="once"):
            grs.priors.read_gdsc(wide.rename({"GDSC:2": "1"}))

    def test_missing_values_and_unknown_lines_are_left_out_and_counted(
        self, lines: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        table = lines.uns["response"].copy()
        table.loc[table.index[:3], "value"] = [np.nan, np.inf, -np.inf]
        table.loc[table.index[3], "line"] = "elsewhere"
        with caplog.at_level(logging.INFO):
            grs.pp.drug_response_setup(lines, table)
        assert np.isfinite(lines.obsm["drug_response"]).sum() == len(table) - 4
        dropped = lines.uns["drug_response"]["params"]["dropped"]
        assert (dropped["missing values or names"], dropped["unknown lines"]) == (3, 1)
        assert "3 missing values or names" in caplog.text

    def test_wrong_tables_are_named(self, lines: Any) -> None:
        table = lines.uns["response"]
        with pytest.raises(KeyError, match="IC50"):
            grs.pp.drug_response_setup(lines, table, value="IC50")
        with pytest.raises(KeyError, match=r"'lime001' \(nearest: \[line001"):
            grs.pp.drug_response_setup(lines, table.assign(line=table["line"].str.replace("line", "lime")))
        with pytest.raises(ValueError, match="must differ"):
            grs.pp.drug_response_setup(lines, table.assign(value=1.0))
        with pytest.raises(ValueError, match="a number"):
            grs.pp.drug_response_setup(lines, table.assign(value="high"))
        with pytest.raises(ValueError, match="smiles must name"):
            grs.pp.drug_response_setup(lines, table, smiles={"dog001": "C"})


class TestPredictions:
    @pytest.mark.parametrize("split", ["pair", "line"])
    def test_every_pair_is_predicted_by_a_model_that_did_not_see_it(self, lines: Any, split: str) -> None:
        grs.tl.drug_response(lines, split=split, final=False)
        table = grs.get.drug_response(lines)
        assert len(table) == np.isfinite(lines.obsm["drug_response"]).sum()
        assert not table.duplicated(["line", "drug"]).any()
        assert within(lines) > 0.6
        first = table["fold"] == 0
        spoilt = lines.copy()
        values = spoilt.obsm["drug_response"]
        fold = spoilt.obsm[f"{KEY}_fold"]
        values[fold == 0] = np.random.default_rng(0).normal(size=int((fold == 0).sum()))
        grs.tl.drug_response(spoilt, split=split, final=False)
        again = grs.get.drug_response(spoilt)
        pd.testing.assert_series_equal(again.loc[first, "predicted"], table.loc[first, "predicted"])

    def test_the_same_seed_gives_the_same_bits_and_another_other_folds(self, lines: Any) -> None:
        first, second, third = (
            grs.tl.drug_response(lines, method="mf", split="pair", rng=seed, copy=True) for seed in (0, 0, 1)
        )
        name = "drug_response_mf"
        for slot in (name, f"{name}_fold", f"{name}_all"):
            np.testing.assert_array_equal(first.obsm[slot], second.obsm[slot])
        assert (first.obsm[f"{name}_fold"] != third.obsm[f"{name}_fold"]).any()

    def test_methods_share_their_folds(self, lines: Any) -> None:
        for method in ("offsets", "drug_mean"):
            grs.tl.drug_response(lines, method=method, split="group", groups="tissue", final=False)
        one, other = (grs.get.drug_response(lines, key=f"drug_response_{name}") for name in ("offsets", "drug_mean"))
        pd.testing.assert_frame_equal(one.drop(columns="predicted"), other.drop(columns="predicted"))
        tissue = lines.obs["tissue"].astype(str)
        assert (one.assign(t=one["line"].astype(str).map(tissue)).groupby("t")["fold"].agg(np.ptp) == 0).all()

    def test_lines_without_a_response_are_predicted_by_the_final_model(self, made: Any) -> None:
        new = made.obs_names[:12]
        table = made.uns["response"]
        lines = made.copy()
        grs.pp.drug_response_setup(lines, table[~table["line"].isin(new)])
        grs.tl.drug_response(lines)
        found = lines[new].obsm[f"{KEY}_all"]
        truth = made[new].obsm["drug_response"]
        r = [np.corrcoef(f[np.isfinite(t)], t[np.isfinite(t)])[0, 1] for f, t in zip(found.T, truth.T, strict=True)]
        assert np.median(r) > 0.6
        assert (lines[new].obsm[f"{KEY}_fold"] == -1).all()
        assert lines.uns[KEY]["choices"].index.tolist() == ["0", "1", "2", "3", "4", "final"]

    def test_features_matter_for_lines_and_the_order_of_lines_does_not(self, lines: Any) -> None:
        lines.obsm["exchanged"] = lines.X[np.random.default_rng(3).permutation(lines.n_obs)]
        grs.tl.drug_response(lines, use_rep="exchanged", final=False, key_added="exchanged")
        assert within(lines, "exchanged") < 0.2
        grs.tl.drug_response(lines, method="ridge", final=False)
        assert within(lines, "drug_response_ridge") > 0.6

    def test_given_folds_are_used(self, lines: Any) -> None:
        held = pd.Series({name: i % 2 for i, name in enumerate(lines.obs_names[:10])})
        grs.tl.drug_response(lines, split=held, final=False)
        assert set(grs.get.drug_response(lines)["line"].astype(str)) == set(held.index)
        assert lines.uns[KEY]["params"]["kind"] == "line"
        pairs = grs.get.drug_response(lines).drop(columns=["value", "predicted"])
        grs.tl.drug_response(lines, split=pairs, final=False, key_added="again")
        np.testing.assert_array_equal(lines.obsm["again_fold"], lines.obsm[f"{KEY}_fold"])

    def test_a_network_is_read_from_its_slot(self, lines: Any, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            grs.tl.drug_response(lines, use_rep=("X", "regulons"), final=False)
        assert "12 of 12 regulons" in caplog.text
        assert within(lines) > 0.6
        weights = lines.uns[KEY]["choices"][["weight X", "weight regulons"]]
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        grs.tl.drug_response(lines, use_rep="regulons", final=False, key_added="true")
        wrong = grs.bench.with_network(lines, "permuted", seed=0)
        grs.tl.drug_response(wrong, use_rep="regulons", final=False, key_added="permuted")
        assert within(lines, "true") > within(wrong, "permuted")


class TestDrugs:
    def test_names_say_nothing_of_an_unseen_drug(self, lines: Any) -> None:
        for split in ("drug", "both"):
            with pytest.raises(ValueError, match="morgan"):
                grs.tl.drug_response(lines, split=split)

    def test_a_drug_without_a_structure_is_named(self, lines: Any) -> None:
        pytest.importorskip("rdkit")
        lines.uns["drug_response"]["drugs"].loc["drug003", "smiles"] = ""
        with pytest.raises(ValueError, match="drug003"):
            grs.tl.drug_response(lines, split="drug", drug_rep="morgan")

    def test_structures_tell_unseen_drugs_apart(self) -> None:
        pytest.importorskip("rdkit")
        lines = grs.datasets.simulate_drug_response(40, n_drugs=150, rng=1)
        grs.pp.drug_response_setup(lines, lines.uns["response"], smiles=lines.uns["smiles"]["smiles"])
        for method in ("grnformer", "line_mean"):
            grs.tl.drug_response(lines, method=method, split="drug", drug_rep="morgan", final=False)
        pearson = {
            name: grs.get.drug_response(lines, key=f"drug_response_{name}")[["value", "predicted"]].corr().iloc[0, 1]
            for name in ("grnformer", "line_mean")
        }
        assert pearson["grnformer"] > 0.5 > pearson["line_mean"]
        grs.tl.drug_response(lines, split="both", drug_rep="morgan", n_splits=3, final=False)
        table = grs.get.drug_response(lines)
        assert len(table) < 0.4 * np.isfinite(lines.obsm["drug_response"]).sum()
        assert np.corrcoef(table["value"], table["predicted"])[0, 1] > 0.4

    def test_given_features_of_drugs(self, lines: Any) -> None:
        names = lines.uns["drug_response"]["drugs"]["drug"]
        features = pd.DataFrame(np.random.default_rng(0).normal(size=(len(names), 3)), index=names)
        grs.tl.drug_response(lines, split="drug", drug_rep=features, final=False)
        grs.tl.drug_response(lines, split="drug", drug_rep=features.to_numpy(), final=False, key_added="array")
        np.testing.assert_array_equal(lines.obsm["array"], lines.obsm[KEY])
        with pytest.raises(KeyError, match="drug002"):
            grs.tl.drug_response(lines, split="drug", drug_rep=features.drop("drug002"))
        with pytest.raises(ValueError, match="shape"):
            grs.tl.drug_response(lines, split="drug", drug_rep=features.to_numpy()[:3])

    def test_deepcdr_learns_from_pairs_and_stops_on_its_validation_part(self) -> None:
        pytest.importorskip("rdkit")
        lines = grs.datasets.simulate_drug_response(30, n_drugs=8, n_genes=40, rng=0)
        grs.pp.drug_response_setup(lines, lines.uns["response"], smiles=lines.uns["smiles"]["smiles"])
        held = pd.Series(0, index=lines.obs_names[:10])
        given = {"method": "deepcdr", "split": held, "final": False, "key_added": "net"}
        grs.tl.drug_response(lines, **given)
        table = grs.get.drug_response(lines, key="net")
        assert np.corrcoef(table["value"], table["predicted"])[0, 1] > 0.5
        assert lines.uns["net"]["choices"].loc["0", "epochs"] >= 1
        spoilt = lines.copy()
        test = spoilt.obsm["net_fold"] == 0
        spoilt.obsm["drug_response"][test] += 100
        grs.tl.drug_response(spoilt, **given)
        np.testing.assert_array_equal(spoilt.obsm["net"][test], lines.obsm["net"][test])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"method": "forest"}, ValueError, "method must be one of"),
        ({"use_rep": "X_pca"}, KeyError, "X_pca"),
        ({"use_rep": ()}, ValueError, "use_rep"),
        ({"use_rep": "regulons", "key": "other"}, KeyError, "other"),
        ({"use_rep": "smoothed"}, KeyError, "among the genes"),
        ({"layer": "counts"}, KeyError, "counts"),
        ({"split": "cell"}, ValueError, "split must be one of"),
        ({"split": "group"}, ValueError, "groups="),
        ({"split": "group", "groups": "organ"}, KeyError, "organ"),
        ({"n_splits": 1}, ValueError, "n_splits"),
        ({"n_splits": 100}, ValueError, "n_splits=100"),
        ({"drug_rep": "graph"}, ValueError, "drug_rep"),
        ({"split": {"line01": 0}}, KeyError, "nearest"),
        ({"split": pd.DataFrame({"line": ["line001"], "drug": ["drag001"], "fold": [0]})}, KeyError, "drug001"),
        ({"split": pd.Series([0, 1], index=["line001", "line001"])}, ValueError, "a line must be in one fold"),
        ({"key_added": "drug_response"}, ValueError, "measured responses"),
    ],
)
def test_bad_input_is_named(lines: Any, arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    before = set(lines.obsm)
    with pytest.raises(error, match=text):
        grs.tl.drug_response(lines, **arguments)
    assert set(lines.obsm) == before


def test_bad_features_and_responses_are_named(lines: Any) -> None:
    with pytest.raises(KeyError, match="drug_response_setup"):
        grs.tl.drug_response(grs.datasets.simulate_drug_response(20, rng=0))
    lines.obsm["holes"] = np.where(np.arange(60)[:, None] == 4, np.nan, lines.X)
    with pytest.raises(ValueError, match="line005"):
        grs.tl.drug_response(lines, use_rep="holes")
    lines.obsm["flat"] = np.ones((60, 3))
    with pytest.raises(ValueError, match="must differ"):
        grs.tl.drug_response(lines, use_rep="flat")
    lines.obsm["drug_response"] = np.full((60, 14), 2.0)
    with pytest.raises(ValueError, match="must differ"):
        grs.tl.drug_response(lines)


def test_a_network_of_other_genes_is_named(lines: Any) -> None:
    net = network_of(lines).assign(target=lambda t: t["target"].str.upper())
    with pytest.raises(KeyError, match=r"nearest: \[gene0"):
        grs.pp.add_network(lines, net)


def test_figures_say_what_they_show(lines: Any) -> None:
    grs.tl.drug_response(lines, final=False)
    grs.tl.drug_response(lines, method="drug_mean", final=False)
    ax = grs.pl.drug_response(lines)
    assert f"r = {within(lines):.2f} (median) inside drugs" in ax.texts[0].get_text()
    ax = grs.pl.drug_response(lines, key=[KEY, "drug_response_drug_mean"])
    texts = [text.get_text() for text in ax.texts]
    assert "constant inside every drug" in texts
    assert f"{within(lines):.2f}" in texts
    ax = grs.pl.drug_response(lines, key=[KEY, "drug_response_drug_mean"], by="line")
    medians = [
        grs.metrics.within_correlation(grs.get.drug_response(lines, key=key), by="line").median()
        for key in (KEY, "drug_response_drug_mean")
    ]
    assert [text.get_text() for text in ax.texts] == [f"{median:.2f}" for median in medians]
    assert ax.get_title(loc="left") == "Drugs told apart inside each line"
    with pytest.raises(ValueError, match="by"):
        grs.pl.drug_response(lines, by="tissue")
    with pytest.raises(KeyError, match="other"):
        grs.pl.drug_response(lines, key="other")
    with pytest.raises(ValueError, match="key"):
        grs.pl.drug_response(lines, key=())


def test_the_leaderboard_has_its_controls_and_leaves_the_lines_alone(lines: Any) -> None:
    before = set(lines.obsm), set(lines.uns)
    table = grs.bench.drug_response(
        lines, use_rep=("X", "regulons"), baselines=("drug_mean", "ridge"), groups="tissue", n_splits=3, n_rewired=1
    )
    scores = grs.bench.run(table)
    assert (set(lines.obsm), set(lines.uns)) == before
    wide = scores[scores["metric"] == "within_drug"].pivot_table(
        index="item", columns=["method", "network"], values="value", dropna=False
    )
    middle = wide.median()
    assert np.isnan(middle["drug_mean", ""])
    assert middle["ridge on exchanged lines", ""] < 0.3 < middle["ridge", ""]
    assert {"own", "none", "rewired", "permuted"} == set(scores.loc[scores["method"] == "grnformer", "network"])
    assert middle["grnformer", "own"] > 0.5
    spread = scores[(scores["method"] == "drug_mean") & (scores["metric"] == "spread")]["value"]
    assert (spread == 0).all()
    with pytest.raises(ValueError, match="regulons"):
        grs.bench.drug_response(lines, use_rep="X")
