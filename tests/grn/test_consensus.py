"""The consensus ranks links by the mean of their places, whatever the order of networks and rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grnformer_sc._core.tables import edge_table, eregulon_name
from grnformer_sc.grn.consensus import consensus_edges


def network(seed: int, n: int = 60, *, regions: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(100)[:n]
    tf, gene = [f"T{i // 25}" for i in pairs], [f"g{i % 25:02}" for i in pairs]
    sign = np.where(pairs % 3 == 0, -1, 1)
    region = [f"chr1:{1 + i % 7}00-{1 + i % 7}50" for i in pairs] if regions else [""] * n
    state = int(regions)
    return edge_table({
        "tf": tf, "gene": gene, "region": region, "sign": sign, "region_sign": [state] * n,
        "score": rng.permutation(n) / n, "tf_gene_importance": rng.random(n), "tf_gene_rho": sign * rng.random(n),
        "region_gene_rho": rng.random(n) if regions else np.nan, "evidence": ["direct" if regions else "none"] * n,
        "eregulon": [eregulon_name(t, s, state) for t, s in zip(tf, sign, strict=True)],
    })  # fmt: skip


def pairs_of(edges: pd.DataFrame) -> list[tuple[str, str]]:
    best = edges.astype({"tf": str, "gene": str}).sort_values(["score", "tf", "gene"], ascending=[False, True, True])
    return list(best.drop_duplicates(["tf", "gene"])[["tf", "gene"]].itertuples(index=False, name=None))


def test_the_order_is_that_of_mean_places_counted_by_hand() -> None:
    networks = [network(seed) for seed in range(3)]
    ranked = [pairs_of(table) for table in networks]
    union = sorted({pair for pairs in ranked for pair in pairs})
    place = {
        pair: np.mean([
            (pairs.index(pair) + 1) / len(union) if pair in pairs else (len(pairs) + len(union) + 1) / (2 * len(union))
            for pairs in ranked
        ])
        for pair in union
    }  # fmt: skip
    found = pairs_of(consensus_edges(networks, n_links=1000, min_targets=1))
    assert sorted(found) == union
    assert (np.diff([place[pair] for pair in found]) > -1e-9).all()


def test_one_network_twice_is_that_network() -> None:
    one = network(0)
    assert pairs_of(consensus_edges([one, one], min_targets=1)) == pairs_of(one)


def test_networks_and_rows_come_in_any_order() -> None:
    networks = [network(0), network(1, regions=True), network(2)]
    first = consensus_edges(networks, min_targets=1)
    other = consensus_edges([table.sample(frac=1, random_state=0) for table in networks[::-1]], min_targets=1)
    pd.testing.assert_frame_equal(first, other)


def test_the_number_of_links_is_that_of_the_median_network() -> None:
    found = consensus_edges([network(0, 40), network(1, 50), network(2, 90)], min_targets=1)
    assert len(pairs_of(found)) == 50


def test_pairs_of_too_few_networks_are_left_out() -> None:
    networks = [network(seed) for seed in range(4)]
    held = pd.concat([pd.Series(pairs_of(table)) for table in networks]).value_counts()
    found = consensus_edges(networks, min_networks=3, n_links=1000, min_targets=1)
    assert set(pairs_of(found)) == set(held.index[held >= 3])
    support = found.astype({"tf": str, "gene": str}).set_index(["tf", "gene"])["support"]
    assert all(support[pair] == held[pair] for pair in pairs_of(found))


def test_regions_come_from_the_networks_that_have_any() -> None:
    with_regions = network(0, regions=True)
    found = consensus_edges([with_regions, network(1), network(2)], n_links=1000, min_targets=1)
    known = set(pairs_of(with_regions))
    region = found.astype({"tf": str, "gene": str, "region": str}).set_index(["tf", "gene"])["region"]
    assert all((region[pair] != "") == (pair in known) for pair in pairs_of(found))
    assert set(found["eregulon"].str.split("|").str[2]) == {"open"}
    placed = found["region"].astype(str) != ""
    assert set(found.loc[placed, "evidence"]) == {"direct"}
    assert found.loc[placed, "region_gene_rho"].notna().all()


def test_the_sign_is_that_of_the_majority() -> None:
    one = network(0)
    turned = one.assign(sign=-one["sign"])
    found = consensus_edges([one, turned, one], n_links=1000, min_targets=1)
    merged = found[["tf", "gene", "sign"]].merge(one[["tf", "gene", "sign"]], on=["tf", "gene"])
    assert (merged["sign_x"] == merged["sign_y"]).all()


def test_numbers_are_means_and_small_eregulons_are_dropped() -> None:
    one, two = network(0, 100), network(1, 100)
    found = consensus_edges([one, two], min_targets=10)
    both = one.merge(two, on=["tf", "gene"]).merge(found, on=["tf", "gene"])
    mean = (both["tf_gene_importance_x"] + both["tf_gene_importance_y"]) / 2
    np.testing.assert_allclose(both["tf_gene_importance"], mean, rtol=1e-6)
    assert found.groupby("eregulon", observed=True)["gene"].nunique().min() >= 10
    assert consensus_edges([one, two], min_targets=50).empty


@pytest.mark.parametrize("seed", range(3))
def test_networks_without_scores_are_ranked_by_their_weights(seed: int) -> None:
    table = network(seed)
    bare = table.assign(score=np.nan)
    by_weight = table.assign(score=table["tf_gene_importance"].abs())
    pd.testing.assert_frame_equal(consensus_edges([bare, bare]), consensus_edges([by_weight, by_weight]))
