"""TFs and genes of the evidence are found in the data letter case aside, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc.tl._evidence import read_evidence


@pytest.fixture
def pair(toy_mdata: Any) -> tuple[Any, Any]:
    """RNA and ATAC without motifs of their own."""
    rna, atac = toy_mdata["rna"].copy(), toy_mdata["atac"].copy()
    del atac.varm["motifs"], atac.uns["motifs"]
    return rna, atac


def test_a_motif_table_in_lower_case_means_the_same_tfs(pair: Any) -> None:
    rna, atac = pair
    tfs = list(rna.var_names[rna.var["is_tf"]])[:4]
    table = pd.DataFrame(np.random.default_rng(0).random((atac.n_vars, 4)), index=atac.var_names, columns=tfs)
    twice = table[[tfs[0]]].rename(columns=str.lower) + 1  # the first of names that differ in case only counts
    lower = pd.concat(
        [table.rename(columns={tf: tf.lower() for tf in tfs[1:]}), twice, table[[]].assign(foxp2=1.0)], axis=1
    )
    first, second = (read_evidence(rna, atac, None, motifs, None) for motifs in (table, lower))
    assert list(first[0]) == list(second[0]) == sorted(tfs)
    np.testing.assert_array_equal(first[1].motifs.toarray(), second[1].motifs.toarray())
    assert (first[2], second[2]) == ({"tfs_of_motifs_not_in_genes": 0}, {"tfs_of_motifs_not_in_genes": 1})


def test_a_prior_in_other_letters_means_the_same_pairs(pair: Any) -> None:
    rna, _ = pair
    prior = rna.uns["truth"][["tf", "gene"]].drop_duplicates().astype(str)
    other = pd.concat(
        [prior.apply(lambda names: names.str.lower()), pd.DataFrame({"tf": ["tf01"], "gene": ["no gene"]})]
    )
    first, second = (read_evidence(rna, None, None, None, table) for table in (prior, other))
    assert list(first[0]) == list(second[0])
    np.testing.assert_array_equal(first[1].prior.toarray(), second[1].prior.toarray())
    assert second[2] == {"tfs_of_prior_not_in_genes": 0, "prior_pairs_not_in_genes": 1}


def test_genes_that_differ_in_case_only_are_both_tfs_and_the_first_has_the_pairs(pair: Any) -> None:
    rna, _ = pair
    rna.var_names = ["Sox9", "SOX9", *rna.var_names[2:]]
    names, evidence, _ = read_evidence(
        rna, None, None, None, pd.DataFrame({"tf": ["sox9"], "gene": [rna.var_names[5]]})
    )
    assert list(names) == ["SOX9", "Sox9"]
    assert evidence.prior is not None
    assert evidence.prior.toarray()[:, 5].tolist() == [1, 0]


def test_no_shared_name_is_an_error(pair: Any) -> None:
    with pytest.raises(ValueError, match=r"at least one TF of the prior must be a gene of the data"):
        read_evidence(pair[0], None, None, None, pd.DataFrame({"tf": ["ENSG00000125398"], "gene": ["x"]}))
    assert grs.priors.tf_names(["sox9", "x"], source=["SOX9"]) == ["sox9"]
