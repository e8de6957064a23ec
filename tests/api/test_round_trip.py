"""Everything that the public functions write survives h5ad, h5mu and zarr, and scanpy carries on from it."""

from __future__ import annotations

import ast
import runpy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from zarr.storage import MemoryStore

import grnformer_sc as grs

pytestmark = pytest.mark.xdist_group("round trip")  # one worker makes the data and the files
SLOTS = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns", "layers")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A multiome on which every public function of `pp` and `tl` that writes slots has run; never change it.

    Names of a TF and of a cell type hold a "/", which formats take for a path.
    """
    mdata = grs.datasets.simulate_multiome(240, n_genes=100, n_tfs=10, n_types=3, rng=0)
    names = {"TF01": "NKX2/5"}
    mdata["rna"].var_names = mdata["rna"].var_names.map(lambda name: names.get(name, name))
    stored = mdata["atac"].uns["motifs"]
    motifs = {names.get(tf, tf): pwm.T * 1e6 for tf, pwm in zip(stored["tfs"], stored["pwm"], strict=True)}
    mdata["rna"].obs["cell_type"] = mdata["rna"].obs["cell_type"].cat.rename_categories({"type1": "L2/3"})
    mdata.obs["cell_type"] = mdata["rna"].obs["cell_type"]
    mdata = grs.pp.harmonize_genes(mdata, to=mdata["rna"].var_names)
    grs.pp.link_regions(mdata)
    grs.pp.scan_motifs(mdata, genome=grs.datasets.simulated_genome(mdata), motifs=motifs)
    grs.pp.differential_regions(mdata, "cell_type", max_fdr=1)
    grs.tl.build_grn(mdata, groupby="cell_type")
    grs.tl.build_grn(mdata, method="ridge", groupby="cell_type")
    grs.tl.consensus_grn(mdata)
    grs.tl.compare_grns(mdata, truth=mdata["rna"].uns["truth"], n_nulls=1)
    mdata["rna"].obs["donor"] = [f"d{i % 4}/a" for i in range(240)]
    mdata["rna"].obs["drug"] = ["no/drug", "drug"] * 120
    grs.tl.rank_eregulons(mdata, "cell_type", reference="L2/3", sample_key="donor")
    sides = {"group": "drug", "reference": "no/drug"}
    grs.tl.differential_edges(mdata, "drug", **sides, sample_key="donor", within="cell_type", min_cells=5)
    grs.tl.cell_grn(mdata, net=grs.get.grn(mdata), thresholds="fit", groupby="cell_type", key_added="again")
    grs.pp.map_reference(mdata, mdata["rna"].copy(), key_added="again", cut=0.5, min_agreement=0.9)
    grs.tl.aucell(mdata["rna"], {"a/b": list(mdata["rna"].var_names[:9])}, key_added="sets")
    pairs = [
        (line, f"a/{k}", float(i % 7 + 5 * k)) for k in range(3) for i, line in enumerate(mdata["rna"].obs_names[:60])
    ]
    grs.pp.drug_response_setup(mdata["rna"], pd.DataFrame(pairs, columns=["line", "drug", "value"]))
    grs.tl.drug_response(mdata["rna"], n_splits=2)
    grs.pp.add_network(mdata["rna"], grs.get.network(mdata), key_added="grn_given")
    grs.tl.simulate_ko(mdata["rna"], grs.get.grn(mdata)["tf"].value_counts().idxmax(), per_cell=True)
    grs.tl.perturbation_flow(mdata["rna"], basis="grn_auc")
    rna, perturbed = mdata["rna"], grs.get.grn(mdata)["tf"].value_counts().index[:2].astype(str)
    rna.obs["lost"] = np.resize([*perturbed, "control"], rna.n_obs)
    told = {"perturbation_key": "lost", "penalty": 1.0, "l1_ratio": 0.0, "n_folds": 3, "n_bootstrap": 0}
    grs.tl.build_grn(mdata, method="renge", options=told)
    grs.tl.build_grn(mdata, method="linger", groupby="cell_type", window=50_000, options={"epochs": 2, "top": 200})
    grs.tl.simulate_ko(rna, perturbed[0], model="renge", key="grn_renge")
    rna.obs["hour"] = np.arange(240) % 3
    told = {"network": "grn", "time_key": "hour", "n_trajectories": 20, "epochs": 1, "max_step": 1.0}
    grs.tl.build_grn(mdata, method="flecs", options=told)
    grs.tl.simulate_ko(rna, perturbed[0], model="flecs", key="grn_flecs")
    told = {"steps": 2, "time_key": "hour", "window": 100, "overlap": 40}
    grs.tl.build_grn(mdata, method="dictys", options=told)
    rna.obs["place"] = np.arange(240) / 240
    told = {"time_key": "place", "prior": "full", "genes": list(rna.var_names[:6]), "n_points": 20, "epochs": 1}
    grs.tl.build_grn(mdata, method="ritini", options={**told, "batch_size": 12, "attention": "pairs"})
    grs.tl.simulate_ko(rna, str(grs.get.grn(rna, key="grn_ritini")["tf"].iloc[0]), model="ritini", key="grn_ritini")
    grs.tl.build_grn(mdata, method="pcnet", groupby="cell_type", tfs=list(perturbed), options={"n_samples": 2})
    grs.tl.rank_cell_types(rna, list(perturbed))
    grs.tl.rank_targets(rna, "L2/3", "type2", genes=list(perturbed))
    cells, lines = grs.datasets.simulate_drug_lines(60, 240, n_genes=100, n_tfs=10, rng=0)
    lines.var_names, lines.obs["a/b"] = rna.var_names, lines.obs["drug1"]
    rna.obs["labels"] = cells.obs["drug1"].to_numpy()
    grs.tl.drug_sensitivity(
        rna, lines, drug="a/b", method="adversarial", n_seeds=1, batch_key="donor", label_key="labels"
    )
    grs.tl.evaluate_drug_sensitivity(rna, {"a/b": "labels"}, n_draws=5)
    grs.tl.fit(mdata["rna"], max_epochs=1)
    untrained = grs.model.Geneformer.untrained(dict.fromkeys(rna.var_names[:90], 1.0), dim=8, heads=2)
    grs.tl.embed(mdata, untrained, device="cpu")
    grs.tl.in_silico_perturbation(mdata, untrained, list(perturbed), device="cpu")
    database = runpy.run_path(str(Path(__file__).parents[1] / "_cistarget.py"))["write_database"]
    files = database(tmp_path_factory.mktemp("cistarget"), mdata["atac"])
    loose = {"auc_threshold": 0.05, "rank_threshold": 0.1, "min_nes": 1, "min_log2fc": 0}
    grs.pp.read_cistarget(mdata, **files, groupby="cell_type", **loose)
    return mdata


def plain(value: Any) -> Any:
    """The content of a slot, free of how a format stores it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, pd.DataFrame):
        return {"index": plain(value.index), **{f"col {name}": plain(value[name]) for name in value.columns}}
    if isinstance(value, pd.Series) and isinstance(value.dtype, pd.CategoricalDtype):
        return [plain(value.cat.categories), value.cat.codes.tolist()]
    if sp.issparse(value):
        return plain(value.toarray())
    if isinstance(value, (pd.Series, pd.Index, np.ndarray, list)):
        array = np.asarray(value)
        return [str(item) for item in array.ravel()] if array.dtype.kind in "OUST" else [array.shape, array.tobytes()]
    return str(value)


def quietly(action: Any, *args: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # formats announce their own future
        return action(*args)


def through(mdata: Any, form: str, folder: Path) -> tuple[Any, Any]:
    """Both modalities written to a file and read again."""
    if form == "h5mu":
        quietly(mudata.write, str(folder / "x.h5mu"), mdata)
        back = quietly(mudata.read, str(folder / "x.h5mu"))
        return back["rna"], back["atac"]
    parts = []
    for name in ("rna", "atac"):
        path = folder / f"{name}.h5ad" if form == "h5ad" else MemoryStore()  # thousands of small files take a minute
        quietly(getattr(mdata[name], f"write_{form}"), path)
        parts.append(quietly(anndata.io.read_h5ad if form == "h5ad" else anndata.io.read_zarr, path))
    return parts[0], parts[1]


@pytest.fixture(scope="module", params=["h5ad", "h5mu", "zarr"])
def reread(fitted: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Both modalities from a file of each format."""
    return through(fitted, request.param, tmp_path_factory.mktemp(request.param))


def test_every_slot_comes_back(fitted: Any, reread: tuple[Any, Any]) -> None:
    for before, after in zip((fitted["rna"], fitted["atac"]), reread, strict=True):
        for slot in SLOTS:
            first, second = getattr(before, slot), getattr(after, slot)
            names = list(first.columns if isinstance(first, pd.DataFrame) else first)
            assert set(names) == set(second.columns if isinstance(second, pd.DataFrame) else second), slot
            for name in names:
                assert plain(first[name]) == plain(second[name]), f"{slot}[{name!r}]"


def test_every_public_function_that_can_write_is_run_here(fitted: Any) -> None:
    """Functions are listed by the package, so that a new one is missed."""
    used = {
        (node.value.attr, node.attr)
        for node in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
    }
    public = {(space, name) for space in ("pp", "tl") for name in dir(getattr(grs, space)) if not name.startswith("_")}
    assert ("tl", "build_grn") in public
    assert public - used == set(), "run them in the fixture `fitted`, or bring their results through a file"
    assert any(name.startswith("NKX2_5|") for name in fitted["rna"].obsm["grn_auc"])
    assert "NKX2/5" in set(grs.get.grn(fitted)["tf"])


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_metacells_come_back(form: str, tmp_path: Path) -> None:
    rna = grs.datasets.simulate_multiome(120, n_genes=60, n_tfs=8, n_types=2, rng=0)["rna"]
    made = grs.pp.metacells(rna, "cell_type", n_metacells=12)
    after = through({"rna": made, "atac": made}, form, tmp_path)[0]
    for slot in ("obs", "uns"):
        assert {name: plain(getattr(made, slot)[name]) for name in getattr(made, slot)} == {
            name: plain(getattr(after, slot)[name]) for name in getattr(after, slot)
        }
    np.testing.assert_array_equal(made.X.toarray(), after.X.toarray())


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_profiles_of_perturbations_come_back(form: str, tmp_path: Path) -> None:
    rna = grs.datasets.simulate_multiome(120, n_genes=60, n_tfs=8, n_types=2, rng=0)["rna"]
    rna.obs["drug"] = ["a/b", "control"] * 60
    made = grs.pp.perturbation_profiles(rna, "drug", context_key="cell_type")
    after = through({"rna": made, "atac": made}, form, tmp_path)[0]
    for slot in ("obs", "layers", "uns"):
        assert {name: plain(getattr(made, slot)[name]) for name in getattr(made, slot)} == {
            name: plain(getattr(after, slot)[name]) for name in getattr(after, slot)
        }


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_perturbations_their_split_and_predictions_come_back(form: str, tmp_path: Path) -> None:
    cells = grs.datasets.simulate_perturbations(12, n_genes=40, n_tfs=8, n_types=2, rng=0)
    cells.obs["perturbation"] = cells.obs["perturbation"].astype(str).replace("TF01", "NKX2/5")
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"type1": "L2/3"})
    grs.pp.perturbation_setup(cells, covariate_keys=["cell_type"])
    grs.pp.split_perturbations(cells, strategy="folds", n_folds=2)
    made = grs.tl.perturb(cells, key=None)
    for before, number in ((cells, "0"), (made, "1")):
        (tmp_path / number).mkdir()
        after = through({"rna": before, "atac": before}, form, tmp_path / number)[0]
        for slot in ("obs", "layers", "uns"):
            first, second = getattr(before, slot), getattr(after, slot)
            assert {name: plain(first[name]) for name in first} == {name: plain(second[name]) for name in second}
        if number == "0":
            again = grs.tl.perturb(after, method="mean")
            np.testing.assert_array_equal(again.layers["delta"], made.layers["train_mean"])
        else:
            scores = [grs.tl.evaluate_perturbation(one, cells, ceiling=False) for one in (before, after)]
            assert plain(scores[0]) == plain(scores[1])


@pytest.mark.parametrize("form", ["h5ad", "h5mu", "zarr"])
def test_pairs_of_unpaired_cells_come_back(form: str, tmp_path: Path) -> None:
    mdata = grs.datasets.simulate_multiome(120, n_genes=60, n_tfs=8, n_types=2, rng=0)
    pairs = grs.pp.pair_unpaired(mdata["rna"][:60].copy(), mdata["atac"][60:].copy(), groupby="cell_type")
    for before, after in zip((pairs["rna"], pairs["atac"]), through(pairs, form, tmp_path), strict=True):
        assert plain(before.uns["metacells"]) == plain(after.uns["metacells"])
        for name in before.obs:
            assert plain(before.obs[name]) == plain(after.obs[name])


def test_readers_say_the_same_before_and_after(fitted: Any, reread: tuple[Any, Any]) -> None:
    before, after = fitted["rna"], reread[0]
    cell = before.obs_names[5]
    for read in (
        grs.get.grn,
        lambda a: grs.get.grn(a, group="L2/3"),
        lambda a: grs.get.cell_graph(a, cell),
        grs.get.eregulons,
        grs.get.perturbation,
        lambda a: grs.get.perturbation(a, key="grn_renge_ko"),
        lambda a: grs.get.perturbation(a, key="grn_flecs_ko"),
        lambda a: grs.get.perturbation(a, key="grn_ritini_ko"),
        lambda a: grs.get.grn(a, group="L2/3", key="grn_pcnet"),
        lambda a: grs.get.tf_effects(a, kind="total"),
        lambda a: grs.get.regulation_curves(a, n_points=3),
        grs.get.rank_cell_types,
        grs.get.drug_response,
        lambda a: grs.get.grn(a, key="grn_given"),
        grs.get.rank_targets,
        lambda a: grs.get.drug_sensitivity(a, "a/b"),
        lambda a: grs.get.drug_sensitivity(a, kind="models"),
        grs.get.attention,
        grs.get.training,
        grs.get.comparison,
        lambda a: grs.get.rank_eregulons(a, group="type2"),
        lambda a: grs.get.differential_edges(a, within="L2/3"),
        lambda a: grs.get.activity(a).X,
    ):
        assert plain(read(before)) == plain(read(after))


def test_scanpy_goes_on_from_the_graph_of_cells_without_a_new_pca(fitted: Any) -> None:
    adata = fitted["rna"].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        sc.tl.leiden(adata, neighbors_key="grn_cells", flavor="igraph", n_iterations=2, directed=False)
        sc.tl.umap(adata, neighbors_key="grn_cells", maxiter=20)
    assert len(adata.obs["leiden"].cat.categories) > 1
    assert np.isfinite(adata.obsm["X_umap"]).all()
    assert "X_pca" not in adata.obsm
    assert "pca" not in adata.uns
