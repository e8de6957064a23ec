"""Training runs: the same weights from every storage and after a kill, named failures, several processes."""

from __future__ import annotations

import copy
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch
import zarr

from grnformer_sc.data.ahead import Ahead
from grnformer_sc.data.module import CellDataModule, group_weights
from grnformer_sc.model import ModelConfig, run
from grnformer_sc.model.assemble import ModelLoss
from grnformer_sc.model.memory import kept_bytes, largest_batch, out_of_memory
from grnformer_sc.nn.layer import recompute_layers

SCRIPT = Path(__file__).with_name("train_in_process.py")
small = runpy.run_path(str(Path(__file__).with_name("small.py")))
toy_rna, weights, SMALL = (small[name] for name in ("toy_rna", "weights", "SMALL"))
trained = partial(small["trained"], batch_size=20)


@pytest.fixture(scope="module")
def model():
    return trained()


def in_process(out, model=None, train=None, **popen):
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(SCRIPT),
        str(out),
        json.dumps({"model": model or {}, "train": train or {}}),
    ]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, **popen)  # noqa: S603


@pytest.mark.parametrize("storage", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")  # anndata's own default
def test_counts_on_disk_stay_there_and_give_the_same_weights(storage, tmp_path, model):
    adata = toy_rna()
    if storage == "h5ad":
        adata.write_h5ad(tmp_path / "x.h5ad")
        on_disk = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    else:
        adata.write_zarr(tmp_path / "x.zarr")
        on_disk = ad.read_zarr(tmp_path / "x.zarr")
        on_disk.X = ad.io.sparse_dataset(zarr.open(tmp_path / "x.zarr", mode="r")["X"])
    streamed = trained(on_disk)
    assert not streamed._cells(None).counts.in_memory
    assert weights(streamed) == weights(model)
    np.testing.assert_array_equal(streamed.get_latent_representation(), model.get_latent_representation())
    order = np.random.default_rng(0).permutation(adata.n_vars)[:40]
    part = adata[:, order].copy()
    part.write_h5ad(tmp_path / "part.h5ad")
    np.testing.assert_array_equal(
        model.get_latent_representation(ad.read_h5ad(tmp_path / "part.h5ad", backed="r")),
        model.get_latent_representation(part),
    )


def test_several_threads_give_the_same_weights_every_time():
    config = ModelConfig(**SMALL.to_dict() | {"dim": 64, "heads": 4, "layers": 2, "edge_prediction": 0.1})
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        one, two = (weights(trained(config=config, max_epochs=1)) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert one == two


def test_batches_built_ahead_are_the_same_batches(model, monkeypatch):
    """On a GPU a thread builds the next batch while the device works."""

    def with_thread(*args, ahead, **options):
        return CellDataModule(*args, ahead=not ahead, **options)

    monkeypatch.setattr(run, "CellDataModule", with_thread)
    assert weights(trained()) == weights(model)


def test_a_failure_of_a_batch_built_ahead_is_raised():
    class Loader(list):
        sampler = None

        def __iter__(self):
            yield 1
            raise ValueError(self)

    batches = iter(Ahead(Loader(["cells"])))
    assert next(batches) == 1
    with pytest.raises(ValueError, match="cells"):
        next(batches)


def test_recomputed_layers_give_the_same_weights_and_keep_less(model):
    assert weights(trained(recompute=True)) == weights(model)
    collator, rows = model._collator(None, None)
    deep = ModelConfig(**SMALL.to_dict() | {"layers": 6, "use_grn": False})
    net = trained(config=deep, max_epochs=1).module.train()
    kept = []
    for on in (False, True):
        recompute_layers(net, on=on)
        kept.append(kept_bytes(net, ModelLoss(deep, net), collator, rows[:8], 0))
    assert kept[1] < 0.5 * kept[0]


def test_bfloat16_follows_float32_and_float16_needs_a_gpu(model):
    half = trained(precision="bf16")
    np.testing.assert_allclose(half.history["train_loss"], model.history["train_loss"], rtol=1e-3)
    assert weights(half) != weights(model)
    assert all(p.dtype == torch.float32 for p in half.module.parameters())
    with pytest.raises(ValueError, match=r"precision='16' needs a GPU.*bf16"):
        trained(precision="16")


def test_two_processes_take_the_steps_of_one_that_accumulates(tmp_path):
    same = {"dropout": 0.0, "alpha": 0.0}
    both = in_process(tmp_path / "two.npz", same, {"devices": 2, "strategy": "ddp", "train_size": 1.0})
    one = in_process(tmp_path / "one.npz", same, {"accumulate": 2, "train_size": 1.0})
    assert (one.wait(300), both.wait(300)) == (0, 0)
    expected = np.load(tmp_path / "one0.npz")
    for rank in (0, 1):
        found = np.load(tmp_path / f"two{rank}.npz")
        assert set(found.files) == set(expected.files)
        for name in expected.files:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    options = {"max_epochs": 12, "rng": 3, "early_stopping": False}
    run = in_process(tmp_path / "x.npz", train=options | {"checkpoint_dir": str(tmp_path / "run")})
    deadline = time.monotonic() + 300
    while not (tmp_path / "run" / "last.ckpt").exists() and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait(60) == -signal.SIGKILL
    resumed = trained(resume_from=tmp_path / "run", **options | {"rng": 99})
    whole = trained(**options)
    assert weights(resumed) == weights(whole)
    assert resumed.history.equals(whole.history)


def test_a_run_goes_on_with_what_it_began_with(tmp_path):
    trained(checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"began with.*model\.dropout: 0\.1 -> 0\.3.*train\.lr: 0\.003 -> 0\.01"):
        trained(resume_from=tmp_path, config=ModelConfig(**SMALL.to_dict() | {"dropout": 0.3}), lr=0.01)
    with pytest.raises(ValueError, match="cells and genes"):
        trained(toy_rna(100), resume_from=tmp_path)


def test_a_loss_that_is_not_finite_names_its_batch():
    adata = toy_rna()
    with pytest.raises(
        FloatingPointError, match=r"the (loss|gradient) must be .* in batch \d+ of epoch \d+: cells \[c\d+.*smaller lr"
    ):
        trained(adata, lr=1e30, max_epochs=5)


def test_memory_that_runs_out_names_three_knobs(model):
    collator, rows = model._collator(None, None)
    data = CellDataModule(collator, rows, rows[:0], batch_size=20, root=0)
    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        knobs = r"20 cells of up to 1044 tokens.*batch_size.*max_tokens.*recompute=True"
        with pytest.raises(MemoryError, match=knobs), out_of_memory(data):
            raise error
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory(data):
        raise RuntimeError("shapes do not fit")


def test_the_batch_is_as_large_as_memory_and_the_epoch_allow(model, caplog):
    collator, rows = model._collator(None, None)
    net = copy.deepcopy(model.module)
    loss = ModelLoss(model.config, net)
    weighty = 4 * 4 * sum(p.numel() for p in net.parameters())
    most = rows[np.argsort(-collator.cells.counts.to_memory().getnnz(axis=1), kind="stable")]
    per_cell = (kept_bytes(net.train(), loss, collator, most[:6], 0) - kept_bytes(net, loss, collator, most[:2], 0)) / 4
    free = weighty + 2 * per_cell * np.array([1.1, 2.1, 3.9, 4.1, 1000])  # half of it may be filled
    size = [largest_batch(net, loss, collator, rows, free=x, root=0) for x in free]
    assert size == [1, 2, 2, 4, 4]  # powers of two; an epoch of 120 cells keeps 16 steps
    with pytest.raises(MemoryError, match=r"one cell must fit.*max_tokens"):
        largest_batch(net, loss, collator, rows, free=2**10, root=0)
    with caplog.at_level("INFO", logger="grnformer_sc"):
        auto = trained(batch_size="auto", max_epochs=1)
    assert auto.train_config.batch_size == 4
    assert "batch_size='auto': 4 cells" in caplog.text


def test_groups_are_drawn_as_evenly_as_asked():
    codes = np.repeat([0, 1, 2], [80, 15, 5])
    assert group_weights(codes, 0.0) is None
    for balance, expected in ((1.0, [1 / 3] * 3), (0.5, np.sqrt([80, 15, 5]) / np.sqrt([80, 15, 5]).sum())):
        weight = group_weights(codes, balance)
        np.testing.assert_allclose([weight[codes == g].sum() for g in range(3)], expected)


def test_a_balanced_epoch_shows_rare_groups_more_often(model):
    collator, rows = model._collator(None, None)
    codes = collator.cells.codes
    rare = np.r_[np.flatnonzero(codes == 0)[:4], np.flatnonzero(codes == 1)]
    data = CellDataModule(collator, rare, rows[:0], batch_size=10, root=0, balance=1.0)
    drawn = []
    for epoch in range(20):
        drawn += list(np.concatenate(data.train.batches(epoch)))
    assert len(drawn) == 20 * rare.size
    assert np.mean(codes[np.array(drawn)] == 0) == pytest.approx(0.5, abs=0.05)
    assert trained(balance=1.0).history.shape[0] == 2


def test_a_description_names_the_cells_of_a_batch(model):
    collator, rows = model._collator(None, None)
    data = CellDataModule(collator, rows, rows[:0], batch_size=7, root=4)
    data.train.set_epoch(2)
    keys = list(data.train)
    assert f"batch 3 of epoch 2: cells [{', '.join(collator.cells.cells[keys[3].cells[:5]])}" in data.describe(2, 3)


def test_devices_that_are_not_there_are_named():
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match=r"accelerator='gpu' needs such a device.*'cpu'"):
        trained(accelerator="gpu")


def test_cells_without_counts_groups_of_one_cell_and_cells_without_edges_are_defined():
    empty = toy_rna()
    counts = empty.X.toarray()
    counts[:5] = 0
    empty.X = sp.csr_matrix(counts)
    off = toy_rna()
    off.obsm["grn_active_region"] = sp.csr_matrix(off.obsm["grn_active_region"].shape, dtype=bool)
    single = toy_rna()
    single = single[np.unique(single.obs["grn_group"].cat.codes, return_index=True)[1]].copy()
    for adata in (empty, off, single):
        fitted = trained(adata, max_epochs=1)
        assert np.isfinite(fitted.get_latent_representation()).all()
        assert np.isfinite(fitted.evaluate_masked(indices=np.arange(3))["deviance"]).all()
    assert (trained(off, max_epochs=1).get_attention().enrichment["sink"] < 1).all()  # type networks still have edges


def test_a_network_of_other_genes_is_refused_with_its_overlap(caplog):
    few, none = toy_rna(), toy_rna()
    few.var_names = [name if i <= 12 else f"x{i}" for i, name in enumerate(few.var_names)]
    none.var_names = [name if i <= 5 else f"x{i}" for i, name in enumerate(none.var_names)]
    with caplog.at_level("WARNING", logger="grnformer_sc"):
        trained(few, max_epochs=1)
    assert "32 of 40 links name a TF or gene that the data does not hold" in caplog.text
    with pytest.raises(ValueError, match=r"at least 5% of the network's links.*1 of 40; genes like \[TF0"):
        trained(none)
