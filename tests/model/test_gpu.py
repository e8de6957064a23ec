"""What a GPU must do like the CPU; skipped where there is none."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from grnformer_sc.model import GRNFormer, ModelConfig
from grnformer_sc.nn.bags import bag_sums
from grnformer_sc.nn.post_norm import add_norm, relu_drop

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

small = runpy.run_path(str(Path(__file__).with_name("small.py")))
toy_rna, weights, SMALL = (small[name] for name in ("toy_rna", "weights", "SMALL"))
# what is drawn at random while training differs between devices: here nothing is
CALM = SMALL.to_dict() | {"dropout": 0.0, "alpha": 0.0, "layers": 3}


def trained(*, config=None, **options):
    options = {"accelerator": "cuda", "max_epochs": 3, "batch_size": 20} | options
    return small["trained"](config=ModelConfig(**CALM | (config or {})), **options)


@pytest.fixture(scope="module")
def model():
    return trained()


def near(a, b, rtol=1e-4):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


def test_a_training_is_that_of_the_cpu(model):
    by_cpu = trained(accelerator="cpu")
    assert model.device == "cuda:0"
    near(model.history.to_numpy(), by_cpu.history.to_numpy(), rtol=1e-3)


@pytest.mark.parametrize("backbone", ["scgpt", "scfoundation", "scpalm", "geneformer", "scprint"])
def test_a_trained_model_says_the_same_on_both_devices(backbone, tmp_path):
    model = trained(config={"backbone": backbone}, max_epochs=1)
    model.save(tmp_path / "model")
    other = GRNFormer.load(tmp_path / "model", toy_rna(), device="cpu")
    assert (model.device, other.device) == ("cuda:0", "cpu")
    near(model.get_latent_representation(), other.get_latent_representation())
    near(model.get_gene_embeddings().to_numpy(), other.get_gene_embeddings().to_numpy())
    near(model.evaluate_masked()["deviance"], other.evaluate_masked()["deviance"])
    found, expected = model.get_attention(), other.get_attention()
    near(found.received, expected.received)
    near(found.enrichment["rho"], expected.enrichment["rho"])
    back = GRNFormer.load(tmp_path / "model", toy_rna())
    assert back.device == "cuda:0"
    back.to_device("cpu")
    near(back.get_latent_representation(), other.get_latent_representation())
    query = GRNFormer.load_query_data(toy_rna(), model)
    near(query.get_latent_representation(), other.get_latent_representation())
    query.train(1, batch_size=20)


@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_half_precision_follows_full_precision(precision, model):
    half = trained(precision=precision)
    near(half.history["train_loss"], model.history["train_loss"], rtol=5e-3)
    assert all(p.dtype == torch.float32 for p in half.module.parameters())


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_strategies_of_several_processes_take_the_same_steps_with_one(strategy, model, tmp_path):
    train = {"accelerator": "cuda", "max_epochs": 3, "strategy": strategy}
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("train_in_process.py"))]
    subprocess.run(  # noqa: S603
        [*command, str(tmp_path / "x.npz"), json.dumps({"model": CALM, "train": train})], check=True, timeout=300
    )
    found = np.load(tmp_path / "x0.npz")
    near(found["history"], model.history.to_numpy())
    for name, value in model.module.state_dict().items():
        near(found[name], value.cpu().numpy(), rtol=1e-3)


def test_the_same_rng_gives_the_same_weights_where_torch_is_asked_for_it():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    try:
        config = {"dropout": 0.1, "alpha": 0.2}
        assert weights_of(trained(config=config)) == weights_of(trained(config=config))
    finally:
        torch.use_deterministic_algorithms(mode=before)


def weights_of(model):
    model.to_device("cpu")
    return weights(model)


def test_bags_are_those_of_the_cpu_and_the_same_bits_every_time():
    g = torch.Generator().manual_seed(0)
    rows, bags, items = 300, 700, 20_000
    source, weight = torch.randn(rows, 64, generator=g), torch.rand(items, generator=g)
    row, bag = (torch.randint(0, n, (items,), generator=g) for n in (rows, bags))
    up, found = torch.randn(bags, 64, generator=g), []
    for device in ("cpu", "cuda", "cuda"):
        x = source.to(device, copy=True).requires_grad_()
        out = bag_sums(x, row.to(device), bag.to(device), weight.to(device), bags)
        out.backward(up.to(device))
        found.append((out.detach().cpu(), x.grad.cpu()))
    for one, two, three in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-5)
        assert torch.equal(two, three)


@pytest.mark.parametrize("dim", [48, 512])
def test_the_steps_of_a_layer_are_those_of_torch(dim):
    torch.manual_seed(0)
    linear, norm, still = torch.nn.Linear(32, dim).cuda(), torch.nn.LayerNorm(dim).cuda(), torch.nn.Dropout(0.0)
    for each in norm.parameters():
        torch.nn.init.normal_(each)
    h, x = (torch.randn(7, 11, n, device="cuda", requires_grad=True) for n in (dim, 32))
    up, weights = torch.randn(7, 11, dim, device="cuda"), [x, linear.weight, linear.bias]
    for found, expected, given in (
        (add_norm(h, x, linear, norm, still), norm(h + linear(x)), [h, *weights, *norm.parameters()]),
        (relu_drop(x, linear, still), torch.relu(linear(x)), weights),
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        ours, torchs = (torch.autograd.grad(out, given, up) for out in (found, expected))
        torch.testing.assert_close(ours, torchs, atol=1e-4, rtol=1e-4)


def test_dropout_of_the_kernels_keeps_its_share_and_its_gradient_goes_where_it_kept():
    torch.manual_seed(0)
    linear, norm, dropout = torch.nn.Linear(64, 64).cuda(), torch.nn.LayerNorm(64).cuda(), torch.nn.Dropout(0.3)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.ones_(linear.bias)
    x = torch.zeros(40, 50, 64, device="cuda")
    kept = relu_drop(x, linear, dropout)
    torch.testing.assert_close(torch.unique(kept), torch.tensor([0, 1 / 0.7], device="cuda"))
    share = (kept > 0).float()
    assert share.mean().item() == pytest.approx(0.7, abs=0.005)
    for axis in (0, 1, 2):  # as even as chance along every axis
        others = share.numel() / share.shape[axis]
        spread = share.mean(dim=[i for i in range(3) if i != axis]).std().item()
        assert spread == pytest.approx((0.21 / others) ** 0.5, rel=0.5)
    assert (share == (relu_drop(x, linear, dropout) > 0)).float().mean().item() == pytest.approx(0.58, abs=0.01)
    torch.manual_seed(1)
    h = torch.randn_like(x, requires_grad=True)
    told = torch.randn_like(x, requires_grad=True)
    torch.nn.init.eye_(linear.weight)
    out, up = add_norm(h, told, linear, norm, dropout), torch.randn_like(x)
    to_h, to_told = torch.autograd.grad(out, [h, told], up)
    stays = (to_told != 0).float()
    expected = norm(h + linear(told) * stays / 0.7)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((to_h, to_told), torch.autograd.grad(expected, [h, told], up), atol=1e-5, rtol=1e-4)
    assert stays.mean().item() == pytest.approx(0.7, abs=0.005)


def test_the_batch_fills_the_memory_of_the_gpu(model, caplog):
    with caplog.at_level("INFO", logger="grnformer_sc"):
        auto = trained(batch_size="auto", max_epochs=1)
    assert auto.train_config.batch_size == 4  # an epoch of 120 cells keeps 16 steps
    assert "GB free" in caplog.text
