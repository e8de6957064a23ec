"""LPM: the published forward, planted structure predicted for pairs that were held out, real knock-outs, files."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

import grnformer_sc as grs
from grnformer_sc.model import LPM, LPMConfig
from grnformer_sc.nn.lpm import LPMNet

SMALL = LPMConfig(dim=8, hidden=32, epochs=3, batch_size=64)


def planted(n_perturbations=12, n_contexts=4, n_readouts=30, *, seed=0):
    """Change = effect of the perturbation on the readout, stronger or weaker by context."""
    rng = np.random.default_rng(seed)
    effect, strength = rng.normal(size=(n_perturbations, n_readouts)), rng.uniform(0.5, 1.5, n_contexts)
    p, c = (x.ravel() for x in np.meshgrid(np.arange(n_perturbations), np.arange(n_contexts), indexing="ij"))
    x = (effect[p] * strength[c][:, None] + 0.1 * rng.normal(size=(p.size, n_readouts))).astype(np.float32)
    obs = pd.DataFrame({"perturbation": [f"P{i}" for i in p], "context": [f"C{i}" for i in c]})
    obs.index = obs["perturbation"] + obs["context"]
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(n_readouts)]))


def error(found, true):
    return float(((np.asarray(found) - true) ** 2).mean())


def test_the_forward_is_the_published_one():
    """Against a plain transcription of the equations with the parameter names of the published program."""
    torch.manual_seed(0)
    net = LPMNet(3, 5, 7, dim=4, hidden=6, layers=2)
    state = net.state_dict()
    assert {name.split(".")[1] for name in state if name.startswith("predictor")} == {"0", "3", "6"}
    context, readout = torch.tensor([0, 2]), torch.tensor([6, 1])
    found = net.eval()(context, torch.tensor([1, 4, 3]), torch.tensor([0, 2]), readout)
    both = state["perturb_embedding_layer.weight"]
    parts = [
        state["context_embedding_layer.weight"][context],
        torch.stack([(both[1] + both[4]) / 2, both[3]]),
        state["readout_embedding_layer.weight"][readout],
    ]
    h = torch.cat(parts, dim=1)
    for place in (0, 3):
        h = functional.relu(h @ state[f"predictor.{place}.weight"].T + state[f"predictor.{place}.bias"])
    torch.testing.assert_close(found, (h @ state["predictor.6.weight"].T + state["predictor.6.bias"])[:, 0])


def test_pairs_that_were_held_out_are_predicted():
    profiles = planted(40, 6, 20)
    held = np.arange(profiles.n_obs) % 5 == 2
    train, test = profiles[~held].copy(), profiles[held]
    model = LPM.fit(train, LPMConfig(hidden=64, epochs=80), rng=0)
    found = model.predict(list(test.obs["perturbation"]), list(test.obs["context"]))
    own = train.to_df().groupby(train.obs["perturbation"].astype(str)).mean()
    alone = own.loc[test.obs["perturbation"].astype(str)].to_numpy()
    assert error(found, test.X) < 0.75 * error(alone, test.X)  # the mean of the perturbation knows no context
    assert error(found, test.X) < 0.1 * error(0, test.X)
    assert model.history["train_loss"].iloc[-1] < 0.1 * model.history["train_loss"].iloc[0]


def test_values_that_were_not_measured_have_no_part():
    full, holes = planted(), planted()
    rng = np.random.default_rng(1)
    missing = rng.random(full.shape) < 0.3
    full.X[missing], holes.X[missing] = np.nan, np.nan
    one = LPM.fit(full, SMALL, rng=2)
    assert np.isfinite(one.predict("P0", "C1")).all(axis=None)
    pd.testing.assert_frame_equal(one.predict("P0", "C1"), LPM.fit(holes, SMALL, rng=2).predict("P0", "C1"))
    assert not np.allclose(LPM.fit(full, SMALL, rng=3).embedding(), one.embedding())


def test_two_perturbations_are_the_mean_of_their_embeddings():
    model = LPM.fit(planted(), SMALL)
    pd.testing.assert_frame_equal(
        model.predict("P0+P1", "C0"), model.predict("P1+P0", "C0").set_axis(["P0+P1 in C0"]), rtol=1e-5
    )
    alike = model.similarity()
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-6)
    assert alike.shape == (12, 12)
    assert model.similarity("readout").shape == (30, 30)
    assert model.embedding("context").shape == (4, 8)


def test_files_give_the_same_predictions_and_nothing_is_unpickled(tmp_path):
    model = LPM.fit(planted(), SMALL)
    model.save(tmp_path / "lpm.safetensors")
    again = LPM.load(tmp_path / "lpm.safetensors")
    pd.testing.assert_frame_equal(again.predict("P3", "C2"), model.predict("P3", "C2"))
    pd.testing.assert_frame_equal(again.history, model.history)
    assert repr(again) == repr(model) == "LPM of 12 perturbations, 30 readouts and 4 contexts"
    names = {"context_symbols": model.vocabulary.contexts, "perturb_symbols": model.vocabulary.perturbations}
    published = {k: list(v) for k, v in names.items()} | {"readout_symbols": list(model.vocabulary.readouts)}
    torch.save(published | dict(model.net.state_dict()), tmp_path / "lpm.pt")
    theirs = LPM.load_published(tmp_path / "lpm.pt")
    np.testing.assert_allclose(theirs.predict("P3", "C2") * model.scale, model.predict("P3", "C2"), rtol=1e-5)
    torch.save(dict(model.net.state_dict()), tmp_path / "bare.pt")
    with pytest.raises(ValueError, match=r"no \[context_symbols"):
        LPM.load_published(tmp_path / "bare.pt")
    torch.save(published | {"perturb_embedding_layer.weight": torch.ones(2, 3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="three embedding tables"):
        LPM.load_published(tmp_path / "other.pt")
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"LPM\.save"):
        LPM.load(tmp_path / "a.safetensors")


def test_names_that_were_not_trained_on_are_named():
    model = LPM.fit(planted(), SMALL)
    with pytest.raises(KeyError, match=r"every perturbation.*\[P99\]"):
        model.predict(["P0", "P99"], "C0")
    with pytest.raises(KeyError, match=r"every context.*\[C9\]"):
        model.predict("P0", "C9")
    with pytest.raises(ValueError, match="2 and 3"):
        model.predict(["P0", "P1"], ["C0", "C1", "C2"])
    with pytest.raises(ValueError, match="kind must be one of"):
        model.embedding("gene")
    with pytest.raises(KeyError, match="'day'"):
        LPM.fit(planted(), SMALL, context_key="day")
    nothing = planted()
    nothing.X[:] = np.nan
    with pytest.raises(ValueError, match="finite value"):
        LPM.fit(nothing, SMALL)
    with pytest.raises(FloatingPointError, match="smaller lr"):
        LPM.fit(planted(), LPMConfig(dim=4, hidden=8, lr=1e30, epochs=5))


@pytest.mark.realdata
def test_held_out_knockouts_of_stem_cells_are_predicted_better_than_by_the_mean(data_dir: Path):
    cells = ad.read_h5ad(data_dir / "hipsc_crispr" / "hipsc_crispr.h5ad")
    profiles = grs.pp.perturbation_profiles(cells, "knockout", context_key="day")
    held = np.random.default_rng(0).permutation(profiles.n_obs) < profiles.n_obs // 5
    train, test = profiles[~held].copy(), profiles[held]
    model = LPM.fit(train, rng=0)
    found = model.predict(list(test.obs["perturbation"]), list(test.obs["context"])).to_numpy()
    day = train.to_df().groupby(train.obs["context"].astype(str)).mean()
    mean = day.loc[test.obs["context"].astype(str)].to_numpy()
    assert error(found, test.X) < error(mean, test.X)  # with its interval: benchmarks/bench_lpm.py
