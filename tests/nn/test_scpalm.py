"""scPaLM, our reading: patches blind to order, codes that are the nearest, a cell token that nobody listens to."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch

from grnformer_sc.nn.backbones import ScPaLM, ScPaLMConfig
from grnformer_sc.nn.backbones.scpalm import TEMPERATURE, GenePatches, PathwayCodes

batch = runpy.run_path(str(Path(__file__).with_name("test_scgpt.py")))["batch"]
SMALL = ScPaLMConfig(n_genes=20, dim=8, layers=4, heads=2, dropout=0.0, patches=5, codes=6)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ScPaLM(SMALL).eval()


def run(model, cells):
    return model.read(model.last_layer(model.encode(model.embed(cells, cells.padding))), cells)


def test_the_order_of_genes_plays_no_role(model):
    cells = batch()
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    other = dataclasses.replace(
        cells, **{name: getattr(cells, name)[:, order] for name in ("genes", "values", "masked", "padding", "counts")}
    )
    first, second = run(model, cells), run(model, other)
    torch.testing.assert_close(first.cells, second.cells)
    torch.testing.assert_close(first.tokens[:, order], second.tokens)


def test_patches_equal_a_loop_over_genes():
    torch.manual_seed(0)
    part, cells = GenePatches(20, 5, 8), batch()
    silent = cells.padding | cells.masked
    found = part(cells.genes, cells.values, silent)
    share = part.membership(torch.arange(20))
    torch.testing.assert_close(share.sum(dim=1), torch.ones(20))
    for c in range(4):
        for p in range(5):
            total, weight = torch.zeros(8), 0.0
            for t in range(11):
                if not silent[c, t]:
                    g = cells.genes[c, t]
                    total = total + share[g, p] * (part.genes.weight[g] + part.value(cells.values[c, t].view(1)))
                    weight = weight + share[g, p]
            torch.testing.assert_close(found[c, p], part.norm(part.patches[p] + total / weight), rtol=1e-4, atol=1e-5)


def test_codes_are_the_nearest_and_their_loss_moves_both_sides():
    torch.manual_seed(0)
    part, h = PathwayCodes(6, 8, 0.25), torch.randn(3, 5, 8, requires_grad=True)
    nearest = torch.cdist(h, part.book.weight).argmin(dim=-1)
    assert torch.equal(part.nearest(h), nearest)
    out, loss = part(h)
    torch.testing.assert_close(out, h + part.book.weight[nearest])
    error = ((h - part.book.weight[nearest]) ** 2).mean()
    torch.testing.assert_close(loss, 1.25 * error)
    loss.backward()
    torch.testing.assert_close(h.grad, 0.25 * 2 * (h - part.book.weight[nearest]).detach() / h.numel())
    assert part.book.weight.grad.abs().sum() > 0


def test_the_cell_token_sees_ever_more_patches_and_no_patch_sees_it(model):
    h = torch.zeros(1, 6, 8)
    seen = [model._heard(h, (i + 1) / 3).mask[0, 0] for i in range(3)]
    assert [int(mask[0].sum()) for mask in seen] == [3, 5, 6]  # itself and 2, 4, 5 patches
    assert all(not mask[1:, 0].any() and mask[1:, 1:].all() for mask in seen)
    cells = batch()
    first = model.encode(model.embed(cells, cells.padding)).h
    with torch.no_grad():
        model.cell += 1
    second = model.encode(model.embed(cells, cells.padding)).h
    assert torch.equal(first[:, 1:], second[:, 1:])
    assert not torch.allclose(first[:, 0], second[:, 0])


def test_further_losses_are_codes_and_contrast(model):
    cells = batch()
    x = model.last_layer(model.encode(model.embed(cells, cells.padding)))
    read = model.read(x, cells)
    cell = torch.nn.functional.normalize(x.h[:, 0], dim=1)
    patch = torch.nn.functional.normalize(x.h[:, 1:].mean(dim=1), dim=1)
    score = (cell @ patch.T / TEMPERATURE).exp()
    contrast = -(score.diag() / score.sum(dim=1)).log().mean()
    torch.testing.assert_close(model.extra_loss(read.extra, cells), x.loss + 0.05 * contrast)


def test_a_gene_stands_in_the_patch_to_which_it_belongs_most(model):
    cells = batch()
    share = model.embedding.membership(cells.genes)
    assert torch.equal(model.places(cells) - 1, share.argmax(dim=-1))


def test_there_is_no_public_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="train from scratch"):
        ScPaLM.read_published(tmp_path)
    with pytest.raises(ValueError, match="at least 1 patch"):
        ScPaLMConfig(n_genes=3, patches=0)
