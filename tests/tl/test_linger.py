"""`build_grn(method="linger")` and `get.link_strengths`: cell types, cells, memory of other data, wrong input."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from mudata import MuData
from safetensors.numpy import save_file

import grnformer_sc as grs
from grnformer_sc._core.inputs import as_mudata

FAST = {"epochs": 25, "top": 120}
NEAR = 60_000


def part_of(mdata: MuData, rows: slice) -> MuData:
    return as_mudata({name: mdata[name][rows].copy() for name in ("rna", "atac")})


def build(mdata: Any, **options: Any) -> dict[str, Any]:
    """The network of a copy."""
    mdata = mdata.copy()
    grs.tl.build_grn(mdata, method="linger", groupby="cell_type", window=NEAR, options={**FAST, **options}, n_jobs=1)
    return mdata["rna"].uns["grn_linger"]


@pytest.fixture(scope="module")
def cells() -> MuData:
    return grs.datasets.simulate_multiome(300, n_genes=60, n_tfs=8, n_types=2, rng=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("linger") / "networks.safetensors"


@pytest.fixture(scope="module")
def made(cells: MuData, file: Path) -> MuData:
    """A multiome with its network; never changed."""
    mdata = cells.copy()
    grs.tl.build_grn(mdata, method="linger", groupby="cell_type", window=NEAR, options={**FAST, "save": file})
    return mdata


class TestNetworks:
    def test_every_group_has_its_strongest_links_and_their_regions(self, made: MuData) -> None:
        uns = made["rna"].uns["grn_linger"]
        edges, holds = uns["edges"], uns["edge_groups"].toarray()
        assert set(edges["evidence"]) == {"direct"}
        assert (edges["motif_score"] > 0).all()
        assert (edges["distance"].abs() <= NEAR).mean() > 0.9  # the others lie in the body of the gene
        assert (np.sign(edges["tf_gene_rho"]) == edges["sign"]).all()
        stack = sp.csr_matrix(uns["networks"])
        for column in range(2):
            mine = edges[holds[:, column]]
            size = mine.groupby(["tf", "gene"], observed=True).size()
            assert len(size) == 120
            assert size.max() <= 3
            weights = stack[60 * column : 60 * (column + 1)]
            assert weights.nnz == 120
            genes = pd.Index(uns["genes"])
            found = np.asarray(weights[genes.get_indexer(mine["tf"]), genes.get_indexer(mine["gene"])]).ravel()
            assert (np.sign(found) == mine["sign"]).all()
        assert not (edges["tf"].astype(str) == edges["gene"].astype(str)).any()

    def test_two_cell_types_have_different_networks(self, made: MuData) -> None:
        """Users of the original program saw the same network in every type."""
        uns = made["rna"].uns["grn_linger"]
        holds = uns["edge_groups"].toarray()
        assert 0 < (holds.all(axis=1)).sum() < 0.8 * len(holds)
        one, two = (sp.csr_matrix(uns["networks"])[60 * k : 60 * (k + 1)].toarray() for k in range(2))
        both = (one != 0) & (two != 0)
        assert np.ptp((one / np.where(both, two, 1))[both]) > 0.5

    def test_order_and_threads_change_no_bit(self, cells: MuData) -> None:
        pair = as_mudata({"rna": cells["rna"][:, ::-1].copy(), "atac": cells["atac"][:, ::-1].copy()})
        grs.tl.build_grn(pair, method="linger", groupby="cell_type", window=NEAR, options=FAST, n_jobs=3)
        one, two = build(cells), pair["rna"].uns["grn_linger"]
        pd.testing.assert_frame_equal(one["edges"], two["edges"])
        pd.testing.assert_frame_equal(one["strengths"], two["strengths"])
        assert (one["networks"] != two["networks"]).nnz == 0

    def test_rna_alone_has_tfs_as_inputs_and_a_prior_chooses_them(
        self, cells: MuData, caplog: pytest.LogCaptureFixture
    ) -> None:
        rna = cells["rna"].copy()
        prior = rna.uns["truth"][["tf", "gene"]].drop_duplicates()
        with caplog.at_level(logging.INFO):
            grs.tl.build_grn(rna, method="linger", prior=prior, options=FAST, key_added="with_prior")
            grs.tl.build_grn(rna, method="linger", tfs="is_tf", options={**FAST, "top": 10**6})
        assert "RNA alone: inputs are the TFs of the prior" in caplog.text
        assert "RNA alone: inputs are all TFs" in caplog.text
        edges = rna.uns["with_prior"]["edges"]
        assert set(edges["evidence"]) == {"prior"}
        assert set(edges["region"]) == {""}
        found = pd.MultiIndex.from_frame(edges[["tf", "gene"]].astype(str))
        assert found.isin(pd.MultiIndex.from_frame(prior.astype(str))).all()
        assert len(rna.uns["grn_linger"]["edges"]) == 8 * 59

    def test_small_groups_are_named_and_have_no_links(self, cells: MuData, caplog: pytest.LogCaptureFixture) -> None:
        rna = cells["rna"].copy()
        rna.obs["cell_type"] = np.where(np.arange(300) < 9, "rare", rna.obs["cell_type"].astype(str))
        with caplog.at_level(logging.INFO):
            grs.tl.build_grn(rna, method="linger", groupby="cell_type", tfs="is_tf", options=FAST)
        assert "no network of [rare]" in caplog.text
        uns = rna.uns["grn_linger"]
        assert uns["edge_groups"].toarray()[:, list(uns["group_names"]).index("rare")].sum() == 0


class TestCells:
    def test_strengths_are_the_equation_in_every_cell(self, made: MuData) -> None:
        rna, atac = made["rna"], made["atac"]
        uns = rna.uns["grn_linger"]
        names = list(rna.obs_names[[5, 0, 77]])
        found = grs.get.link_strengths(made, names, top=10**6)
        assert list(found.obs_names) == names
        edges, shared = uns["edges"], uns["strengths"]["shared"].to_numpy()
        for row, name in enumerate(names):
            cell = rna.obs_names.get_loc(name)
            x, a = (np.log1p(m.X[[cell]].toarray()[0] / m.X[[cell]].sum() * 1e4) for m in (rna, atac))
            x, a = x / x.mean() + 0.1, a / a.mean() + 0.1
            tf, gene = (rna.var_names.get_indexer(edges[n].astype(str)) for n in ("tf", "gene"))
            region = atac.var_names.get_indexer(edges["region"].astype(str))
            column = list(uns["group_names"]).index(str(rna.obs["cell_type"].iloc[cell]))
            expected = x[tf] * x[gene] * a[region] ** 2 * shared * uns["edge_groups"].toarray()[:, column]
            np.testing.assert_allclose(found.X[[row]].toarray()[0], expected, rtol=1e-4)

    def test_only_the_strongest_are_kept_in_any_block(self, made: MuData, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = grs.get.link_strengths(made, top=10**6)
        monkeypatch.setattr("grnformer_sc.get._link_strengths.BLOCK", 2000)
        few = grs.get.link_strengths(made, top=25)
        assert few.shape == (300, len(made["rna"].uns["grn_linger"]["edges"]))
        np.testing.assert_array_equal(np.diff(few.X.indptr), 25)
        limit = np.sort(whole.X.toarray(), axis=1)[:, -25]
        assert (few.X.data >= np.repeat(limit, 25)).all()

    def test_what_is_missing_is_named(self, made: MuData, cells: MuData) -> None:
        with pytest.raises(KeyError, match=r"unknown \[nobody\]"):
            grs.get.link_strengths(made, ["nobody"])
        with pytest.raises(ValueError, match=r"cells need accessibility.*pass the MuData"):
            grs.get.link_strengths(made["rna"])
        with pytest.raises(KeyError, match=r"run grs.tl.build_grn\(mdata, method='linger'\)"):
            grs.get.link_strengths(cells)
        few = as_mudata({"rna": made["rna"].copy(), "atac": made["atac"][:, 5:].copy()})
        with pytest.raises(KeyError, match="pass the data that the network was made from"):
            grs.get.link_strengths(few)
        other = cells["rna"].copy()
        grs.tl.build_grn(other, method="ridge", tfs="is_tf")
        with pytest.raises(KeyError, match="must hold a network of LINGER"):
            grs.get.link_strengths(other, key="grn_ridge")


class TestMemoryOfOtherData:
    def test_it_is_read_and_what_it_lacks_is_counted(
        self, made: MuData, cells: MuData, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert made is not None
        few = part_of(cells, slice(0, 80))
        few = as_mudata({"rna": few["rna"][:, few["rna"].var_names != "G0011"].copy(), "atac": few["atac"]})
        few["rna"].var_names = ["new" if name == "G0012" else name.lower() for name in few["rna"].var_names]
        grs_motifs = few["atac"].uns["motifs"]
        grs_motifs["tfs"] = np.array([str(name).lower() for name in grs_motifs["tfs"]], dtype=object)
        with caplog.at_level(logging.INFO):
            uns = build(few, bulk=file)
        assert "58 of 59 genes, 8 of 8 TFs" in caplog.text
        assert uns["bulk"]["genes_not_in_bulk"] == 1
        assert uns["params"]["dropped"]["genes_not_in_bulk"] == 1
        assert uns["bulk"]["file"] == file.name
        assert len(uns["bulk"]["sha256"]) == 64
        assert "prior" in uns["losses"]

    def test_rna_alone_and_regions_share_the_weights_of_tfs(
        self, made: MuData, cells: MuData, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert made is not None
        rna = cells["rna"].copy()
        with caplog.at_level(logging.INFO):
            told = {**FAST, "bulk": file, "save": tmp_path / "rna.safetensors"}
            grs.tl.build_grn(rna, method="linger", tfs="is_tf", options=told)
            build(cells, bulk=tmp_path / "rna.safetensors")
        assert "8 of 8 TFs and 0 of 0 region-gene pairs" in caplog.text
        assert re.search(r"8 of 8 TFs and 0 of [1-9]\d* region-gene pairs", caplog.text)

    def test_few_cells_find_more_planted_links_with_it(self, tmp_path: Path) -> None:
        """The memory is of other cells with the same network; none of them is among the few."""
        whole = grs.datasets.simulate_multiome(1200, n_genes=80, n_tfs=16, n_types=2, rng=2)
        few, many = part_of(whole, slice(0, 150)), part_of(whole, slice(200, 1200))
        told: dict[str, Any] = {"epochs": 60, "top": 10**6}
        path = tmp_path / "many.safetensors"
        build(many, **told, n_metacells=40, save=path)
        truth = whole["rna"].uns["truth"]
        found = {
            name: grs.metrics.link_recovery(build(few, **told, **options)["edges"], truth)["aupr"]
            for name, options in {"alone": {}, "ewc": {"bulk": path}}.items()
        }
        assert found["ewc"] > 1.15 * found["alone"]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, r"does not exist.*options=\{'save'"),
            (b"no tensors", "must be a safetensors file"),
            ({"a": np.zeros(2, np.float32)}, r"must hold networks of LINGER, of schema 1\. Found: 'another content'\."),
        ],
    )
    def test_other_files_are_refused(self, cells: MuData, tmp_path: Path, content: Any, words: str) -> None:
        path = tmp_path / "x.safetensors"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            save_file(content, path)
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            build(cells, bulk=path)

    def test_where_it_cannot_be_written_is_said_before_the_work(self, cells: MuData, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"ends in \.safetensors.*networks\.safetensors"):
            build(cells, save=tmp_path / "networks.pt")
        with pytest.raises(FileNotFoundError, match=r"folder of 'a\.safetensors' must exist"):
            build(cells, save=tmp_path / "nowhere" / "a.safetensors")


class TestWrongInput:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"prior_term": "l2"}, r"prior_term must be one of \[ewc, inner\]"),
            ({"prior_weight": 2}, r"no bulk=\..*options=\{'bulk'"),
            ({"prior_term": "inner"}, "no bulk="),
            ({"epochs": 0}, "epochs"),
            ({"lr": -1}, "lr"),
            ({"l1": -0.1}, "l1"),
            ({"n_neighbours": 5}, r"did you mean \[n_neighbors\]"),
            ({"n_metacells": 3}, r"need 10 metacells. Found: 6"),
        ],
    )
    def test_options_are_checked(self, cells: MuData, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            build(cells, **options)

    def test_regions_need_motifs(self, cells: MuData) -> None:
        mdata = cells.copy()
        del mdata["atac"].varm["motifs"]
        with pytest.raises(ValueError, match=r"needs motif hits.*ATAC without motifs.*pass the RNA alone"):
            grs.tl.build_grn(mdata, method="linger", tfs="is_tf")
        assert "grn_linger" not in mdata["rna"].uns

    def test_memory_is_bounded(self, cells: MuData) -> None:
        with grs.settings.override(max_memory="1MB"), pytest.raises(ValueError, match=r"settings.max_memory"):
            build(cells)
