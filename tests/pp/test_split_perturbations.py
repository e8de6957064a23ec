"""Splits hold out whole conditions, never leave a part empty, and are the same wherever they are read."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grnformer_sc as grs
from grnformer_sc.grn.perturbation.splits import STRATEGIES, need_no_leak, split_conditions

GENES = [f"G{i}" for i in range(8)]


@st.composite
def screens(draw):
    """Conditions of a screen: some single genes, some combinations, in one or more contexts."""
    singles = draw(st.sets(st.sampled_from(GENES), min_size=1))
    combos = draw(st.sets(st.frozensets(st.sampled_from(GENES), min_size=2, max_size=3), max_size=8))
    contexts = draw(st.sampled_from([["x"], ["x", "y"], ["x", "y", "z"]]))
    names = [*singles, *("+".join(sorted(c)) for c in combos)]
    return pd.DataFrame([(n, c) for n in names for c in contexts], columns=["perturbation", "context"])


@settings(max_examples=60, deadline=None)
@given(
    screens(), st.sampled_from(STRATEGIES), st.sampled_from([(0.75, 0.1), (0.5, 0.0), (0.34, 0.33), (0.9, 0.05)]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_parts_are_whole_disjoint_and_never_empty(conditions, strategy, fractions, root):
    try:
        table = split_conditions(conditions, strategy, fractions=fractions, n_folds=3, root=root)
    except ValueError:  # too few to hold anything out, see below
        return
    assert set(map(tuple, table[["perturbation", "context"]].to_numpy())) == set(map(tuple, conditions.to_numpy()))
    by_context = strategy == "covariate"
    need_no_leak(table, by_context=by_context)
    parts = {name: set(own) for name, own in table.groupby("split")["perturbation"]}
    if strategy in ("folds", "leave_one_out"):
        assert len(parts) == (conditions["perturbation"].nunique() if strategy == "leave_one_out" else len(parts)) > 1
    else:
        assert set(parts) == {"train", "test"} | ({"val"} if fractions[1] else set())
    trained = {gene for name in parts.get("train", ()) for gene in name.split("+")}
    if strategy == "unseen_single":
        assert all(not trained >= set(name.split("+")) for name in parts["test"])
        assert all(name not in trained for name in parts["test"] if "+" not in name)
    if strategy == "combo":
        assert all("+" in name for name in parts["test"])
    if strategy == "covariate":
        train = table[table["split"] == "train"]
        assert set(train["perturbation"]) == set(table["perturbation"])
        assert set(train["context"]) == set(table["context"])
    again = split_conditions(
        conditions.sample(frac=1, random_state=1), strategy, fractions=fractions, n_folds=3, root=root
    )
    pd.testing.assert_frame_equal(table, again)


def cells(labels=("control", "A", "B", "C", "D", "A+B", "C+D"), contexts=("x", "y")):
    obs = pd.DataFrame([(p, c) for p in labels for c in contexts for _ in range(3)], columns=["perturbation", "line"])
    obs.index = obs.index.astype(str)
    adata = ad.AnnData(np.ones((len(obs), 2), dtype=np.float32), obs=obs, var=pd.DataFrame(index=["A", "Z"]))
    grs.pp.perturbation_setup(adata, covariate_keys=["line"])
    return adata


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_split_comes_back_from_json_on_cells_in_another_order(strategy, tmp_path):
    adata = cells()
    grs.pp.split_perturbations(adata, strategy=strategy, rng=3)
    grs.get.write_split(adata, tmp_path / "split.json")
    other = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    grs.pp.split_perturbations(other, split=tmp_path / "split.json", key_added="theirs")
    assert other.obs["theirs"].astype(str).equals(other.obs["split"].astype(str))
    assert grs.get.split(other, key="theirs").equals(grs.get.split(adata))
    assert (adata.obs.loc[adata.obs["perturbed"] == "control", "split"] == "control").all()


def test_the_seed_decides_and_how_much_was_seen_is_said():
    adata = cells(contexts=("x",))
    tables = []
    for seed in (0, 0, 1, 2):
        grs.pp.split_perturbations(adata, fractions=(0.5, 0.25), rng=seed)
        tables.append(grs.get.split(adata))
    assert tables[0].equals(tables[1])
    assert not (tables[0].equals(tables[2]) and tables[0].equals(tables[3]))
    kinds = tables[0].set_index("perturbation")
    train = {g for p in kinds.index[kinds["split"] == "train"] for g in p.split("+")}
    for name, kind in kinds["kind"].items():
        genes = name.split("+")
        assert kind == f"{'single' if len(genes) == 1 else 'combo'}_seen{sum(g in train for g in genes)}"


def test_leaks_and_gaps_of_a_given_split_are_refused():
    adata = cells()
    table = pd.DataFrame({"perturbation": ["A", "B", "C", "D", "A+B", "C+D"], "split": ["train"] * 5 + ["test"]})
    grs.pp.split_perturbations(adata, split=table)
    twice = pd.concat([table, table.iloc[[0]].assign(split="test")])
    with pytest.raises(ValueError, match=r"one part of a split.*\[test, train\] for 'A'"):
        grs.pp.split_perturbations(adata, split=twice)
    with pytest.raises(ValueError, match=r"every condition.*none for \[C\+D\]"):
        grs.pp.split_perturbations(adata, split=table.iloc[:5].replace({"split": {"train": "test"}}).assign(
            split=["train", "train", "test", "test", "test"]))  # fmt: skip
    with pytest.raises(ValueError, match="must name perturbations of these cells"):
        grs.pp.split_perturbations(adata, split=table.assign(perturbation=list("uvwxyz")))
    with pytest.raises(ValueError, match="a split has the parts"):
        grs.pp.split_perturbations(adata, split=table.assign(split="train"))
    with pytest.raises(KeyError, match="'perturbation' and 'split'"):
        grs.pp.split_perturbations(adata, split=table.rename(columns={"split": "fold"}))
    with pytest.raises(KeyError, match="perturbation_setup"):
        grs.pp.split_perturbations(ad.AnnData(np.ones((2, 2))))


def test_a_part_that_would_be_empty_is_an_error():
    adata = cells(("control", "A"), ("x",))
    for strategy in ("unseen_single", "folds", "combo", "covariate"):
        with pytest.raises(ValueError, match="Fix: take other fractions"):
            grs.pp.split_perturbations(adata, strategy=strategy)
    with pytest.raises(ValueError, match="sum of fractions"):
        grs.pp.split_perturbations(adata, fractions=(0.8, 0.4))
