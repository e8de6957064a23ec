"""The fused network: what it may see, what it starts from, what it returns."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from grnformer_sc.nn.adapter import QUERY_CHUNK, GraphAdapter
from grnformer_sc.nn.backbones import Backbone, ScGPT, ScGPTConfig, get_backbone
from grnformer_sc.nn.batch import CellBatch
from grnformer_sc.nn.fusion import GRNFormerNet, Structure
from grnformer_sc.nn.graph import StructureGraph
from grnformer_sc.nn.heads import CountHead, NegativeBinomialHead
from grnformer_sc.nn.losses import masked_loss
from grnformer_sc.nn.perturb import PerturbEdges
from grnformer_sc.nn.structure import StructureEncoder

G, R, DIM, CELLS, TOKENS = 30, 4, 16, 5, 12


def network() -> StructureGraph:
    targets = torch.arange(R * 2 * 6) % G
    return StructureGraph(
        G, 2, row_group=torch.arange(2).repeat_interleave(R), row_eregulon=torch.arange(R).repeat(2),
        row_tf=torch.arange(R).repeat(2), row_sign=torch.tensor([1, 1, -1, 1]).repeat(2),
        indptr=torch.arange(0, R * 2 * 6 + 1, 6), targets=targets, partner_indptr=torch.tensor([0, 3, 6]),
        partner_tf=torch.tensor([0, 1, 2, 0, 1, 2]), partner_gene=torch.tensor([20, 21, 22, 27, 28, 29]),
        partner_r=torch.tensor([0.5, -0.4, 0.3, 0.9, 0.1, -0.2]),
    )  # fmt: skip


def batch(seed: int = 0) -> CellBatch:
    g = torch.Generator().manual_seed(seed)
    masked = torch.zeros(CELLS, TOKENS, dtype=torch.bool)
    masked[:, 8:] = True
    padding = torch.zeros(CELLS, TOKENS, dtype=torch.bool)
    padding[0, 5:8] = True
    visible = torch.rand(CELLS, G, generator=g) < 0.6
    return CellBatch(
        genes=torch.stack([torch.randperm(G, generator=g)[:TOKENS] for _ in range(CELLS)]),
        values=torch.where(masked, 0.0, torch.randint(1, 50, (CELLS, TOKENS), generator=g).float()),
        masked=masked, padding=padding, counts=torch.randint(0, 4, (CELLS, TOKENS), generator=g).float(),
        log_size=torch.randn(CELLS, generator=g) * 0.3, group=torch.randint(0, 2, (CELLS,), generator=g),
        bits=torch.rand(CELLS, R, generator=g) < 0.5, visible=visible, shown=visible,
        edges=torch.linspace(1, 49, 50).expand(CELLS, -1).contiguous(), depth=torch.full((CELLS, 2), 3.0),
    )  # fmt: skip


def net(*, beta: float | None = None, use_grn: bool = True, tf_keys_only: bool = False) -> GRNFormerNet:
    torch.manual_seed(0)
    sizes = ScGPTConfig(
        n_genes=G, dim=DIM, layers=2, heads=2, hidden=32, dropout=0.0, keep_last=not use_grn, value_head=False
    )
    backbone = ScGPT(sizes)
    head = CountHead(DIM, torch.log(torch.linspace(0.1, 2, G)))
    if not use_grn:
        return GRNFormerNet(backbone, head)
    structure = Structure(
        network(), StructureEncoder(DIM, DIM, dropout=0.0), GraphAdapter(DIM, 2, beta=beta, dropout=0.0), PerturbEdges(alpha=0.4),
        tf_keys_only=tf_keys_only,
    )  # fmt: skip
    return GRNFormerNet(backbone, head, structure)


def test_untrained_it_predicts_gene_rate_times_size_exactly():
    b = batch()
    expected = b.log_size[:, None] + torch.log(torch.linspace(0.1, 2, G))[b.genes]
    torch.testing.assert_close(net()(b).prediction, expected)


def test_a_new_adapter_changes_nothing_and_a_fixed_one_does():
    torch.manual_seed(0)
    h, keys, present = torch.randn(2, 5, DIM), torch.randn(2, 6, DIM), torch.ones(2, 6, dtype=torch.bool)
    assert torch.equal(GraphAdapter(DIM, 2).eval()(h, keys, present), h)
    assert not torch.allclose(GraphAdapter(DIM, 2, beta=1.0).eval()(h, keys, present), h)


def test_a_new_adapter_hears_the_network_after_one_small_step():
    """A zero output map learns in every direction at once; the factor before it is far from zero."""
    torch.manual_seed(0)
    adapter = GraphAdapter(DIM, 2, dropout=0.0)
    h, keys, present = torch.randn(2, 5, DIM), torch.randn(2, 6, DIM), torch.ones(2, 6, dtype=torch.bool)
    optimiser = torch.optim.Adam(adapter.parameters(), lr=0.01)
    (adapter(h, keys, present) * torch.randn(DIM)).sum().backward()
    optimiser.step()
    assert (adapter(h, keys, present) - h).abs().mean() > 0.01


@pytest.mark.parametrize("use_grn", [True, False])
def test_counts_are_read_by_the_loss_alone(use_grn):
    model, b = net(beta=1.0, use_grn=use_grn).eval(), batch()
    other = dataclasses.replace(b, counts=b.counts + 7)
    first, second = model(b), model(other)
    assert torch.equal(first.prediction, second.prediction)
    assert torch.equal(first.cells, second.cells)
    assert masked_loss(first.prediction, b, loss="poisson") != masked_loss(second.prediction, other, loss="poisson")


def test_padding_changes_nothing():
    model, b = net(beta=1.0).eval(), batch()
    filled = dataclasses.replace(
        b, genes=torch.where(b.padding, 3, b.genes), values=torch.where(b.padding, 9.0, b.values)
    )  # fmt: skip
    keep = ~b.padding
    torch.testing.assert_close(model(b).prediction[keep], model(filled).prediction[keep])
    torch.testing.assert_close(model(b).cells, model(filled).cells)


def test_bits_reach_the_cell_embedding():
    model, b = net(beta=1.0).eval(), batch()
    off = dataclasses.replace(b, bits=torch.zeros_like(b.bits))
    assert not torch.allclose(model(b).cells, model(off).cells)


def test_every_parameter_learns_once_the_gate_is_open():
    model, b = net(beta=0.5), batch()
    torch.nn.init.normal_(model.head.decoder[-1].weight)
    out = model(b, generator=torch.Generator().manual_seed(0), perturb=True)
    masked_loss(out.prediction, b, loss="poisson").backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []


def test_perturbation_is_seeded_and_needs_its_generator():
    model, b = net(beta=1.0).eval(), batch()
    runs = [model(b, generator=torch.Generator().manual_seed(s), perturb=True).cells for s in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_attention_rows_sum_to_one_and_absent_keys_get_none():
    model, b = net(beta=1.0).eval(), batch()
    parts = list(model.attention(b))
    assert [p.start for p, _ in parts] == list(range(0, TOKENS + 1, QUERY_CHUNK))
    weights = torch.cat([w for _, w in parts], dim=1)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(CELLS, TOKENS + 1))
    present = model.graph.key_present[b.group]
    assert (weights[:, :, :-1].transpose(1, 2)[~present] == 0).all()


def test_tf_keys_are_the_tfs_alone_with_the_same_embeddings():
    b = batch()
    some, every = net(beta=1.0, tf_keys_only=True).eval(), net(beta=1.0).eval()
    every.load_state_dict(some.state_dict())
    index, present = some.key_index(b)
    assert some.graph.is_tf[index[present]].all()
    assert index.shape[1] < every.key_index(b)[0].shape[1]
    few, all_ = (model.keys(b, model._expression(b))[0] for model in (some, every))
    place = (every.key_index(b)[0][:, None, :] == index[:, :, None]).long().argmax(dim=2)
    same = torch.gather(all_, 1, place[:, :, None].expand(-1, -1, DIM))
    torch.testing.assert_close(few[present], same[present])


def test_without_a_network_there_is_no_attention():
    model, b = net(use_grn=False), batch()
    with pytest.raises(ValueError, match="without a structure part"):
        next(model.attention(b))
    with pytest.raises(ValueError, match="without a structure part"):
        model.keys(b, model._expression(b))


@pytest.mark.parametrize("scales", ["cell", "type", "both"])
def test_scales_choose_what_the_keys_are_made_of(scales):
    model, b = net(beta=1.0).eval(), batch()
    model.scales = scales
    x = model._expression(b)
    index = model.key_index(b)[0][:, :, None].expand(-1, -1, DIM)
    cells = torch.gather(model.embed_cells(b, x), 1, index)
    types = torch.gather(model.embed_types(b.group), 1, index)
    expected = {"cell": cells, "type": types, "both": cells + types}[scales]
    torch.testing.assert_close(model.keys(b, x)[0], expected)


def test_types_are_embedded_once_until_a_weight_changes():
    model, b = net(beta=1.0).eval(), batch()
    calls = []
    model.encoder.register_forward_hook(lambda *args: calls.append(args[2].shape[0]))
    with torch.no_grad():
        first, again = model(b), model(b)
    assert calls.count(model.graph.n_groups) == 1  # and one call per batch for the cells
    assert torch.equal(first.prediction, again.prediction)
    plain = model(b)  # with gradients nothing is kept
    torch.testing.assert_close(plain.prediction, first.prediction)
    with torch.no_grad():
        torch.nn.init.normal_(model.head.decoder[-1].weight)
        before = model(b)
        model.encoder.project.weight.mul_(2)
        changed = model(b)
    assert not torch.equal(before.prediction, changed.prediction)
    torch.testing.assert_close(model(b).prediction, changed.prediction)


def test_the_feed_forward_of_the_replaced_layer_may_stay():
    torch.manual_seed(0)
    whole = ScGPT(ScGPTConfig(n_genes=G, dim=DIM, layers=2, heads=2, dropout=0.0)).eval()
    part = ScGPT(ScGPTConfig(n_genes=G, dim=DIM, layers=2, heads=2, dropout=0.0, keep_last=False, keep_ffn=True)).eval()
    kept = part.load_state_dict(whole.state_dict(), strict=False)
    assert kept.missing_keys == []
    assert all("layers.1.self_attn" in name or "layers.1.norm1" in name for name in kept.unexpected_keys)
    layer, b = whole.transformer_encoder.layers[1], batch()
    x = part.encode(part.embed(b, b.padding))
    got = part.feed_forward(x).h
    h = x.h + layer.linear2(torch.relu(layer.linear1(x.h)))
    torch.testing.assert_close(got, layer.norm2(h))


def test_an_adapter_without_any_key_reads_the_sink():
    torch.manual_seed(0)
    adapter = GraphAdapter(DIM, 2, beta=1.0).eval()
    h, keys = torch.randn(2, 3, DIM), torch.randn(2, 4, DIM)
    none = torch.zeros(2, 4, dtype=torch.bool)
    expected = h + adapter.out(adapter.value(adapter.sink)).expand_as(h)
    torch.testing.assert_close(adapter(h, keys, none), expected)


def test_dropout_of_attention_acts_in_training_alone():
    torch.manual_seed(0)
    adapter = GraphAdapter(DIM, 2, beta=1.0, dropout=0.0, attention_dropout=0.5)
    h, keys, present = torch.randn(2, 3, DIM), torch.randn(2, 9, DIM), torch.ones(2, 9, dtype=torch.bool)
    assert not torch.equal(adapter(h, keys, present), adapter(h, keys, present))
    assert torch.equal(adapter.eval()(h, keys, present), adapter(h, keys, present))


def test_a_cell_that_shows_nothing_and_a_batch_without_bits_are_defined():
    model, b = net(beta=1.0), batch()
    dark = dataclasses.replace(
        b, padding=~b.masked, visible=torch.zeros_like(b.visible), shown=torch.zeros_like(b.shown),
        values=torch.zeros_like(b.values), bits=torch.zeros_like(b.bits),
    )  # fmt: skip
    out = model(dark, generator=torch.Generator().manual_seed(0), perturb=True)
    assert torch.isfinite(out.prediction).all()
    assert torch.isfinite(out.cells).all()


def test_losses_equal_their_formulas():
    b = batch()
    prediction = torch.randn(CELLS, TOKENS)
    y, p = b.counts[b.masked], prediction[b.masked]
    likelihood = torch.nn.functional.poisson_nll_loss(p, y, log_input=True)
    perfect = torch.nn.functional.poisson_nll_loss(y.clamp(min=1e-30).log(), y, log_input=True)
    torch.testing.assert_close(masked_loss(prediction, b, loss="poisson"), likelihood - perfect)
    target = torch.randn(CELLS, TOKENS)
    expected = ((p - target[b.masked]) ** 2).mean()
    torch.testing.assert_close(masked_loss(prediction, b, loss="mse", target=target), expected)
    log_inverse = torch.randn(G)
    r = log_inverse[b.genes[b.masked]].exp().double()
    law = torch.distributions.NegativeBinomial(r, probs=(p.double().exp() / (p.double().exp() + r)))
    found = masked_loss(prediction, b, loss="nb", log_inverse=log_inverse)
    torch.testing.assert_close(found.double(), -law.log_prob(y.double()).mean(), rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match="target=None"):
        masked_loss(prediction, b, loss="mse")
    nothing = dataclasses.replace(b, masked=torch.zeros_like(b.masked))
    assert masked_loss(prediction, nothing, loss="poisson") == 0


def test_negative_binomial_head_starts_like_the_poisson_head():
    h, genes, size = torch.randn(2, 3, DIM), torch.zeros(2, 3, dtype=torch.long), torch.zeros(2)
    head = NegativeBinomialHead(DIM, torch.zeros(4))
    assert (head(h, genes, size) == 0).all()
    assert head.log_inverse.shape == (4,)


def test_backbones_are_found_by_name():
    assert get_backbone("scgpt") is ScGPT
    assert isinstance(ScGPT(ScGPTConfig(n_genes=3)), Backbone)
    with pytest.raises(KeyError, match=r"registered \[.*scgpt"):
        get_backbone("nothing")


def test_batches_move_between_devices():
    moved = batch().to("meta")
    assert all(getattr(moved, field.name).device.type == "meta" for field in dataclasses.fields(moved))
