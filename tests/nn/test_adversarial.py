"""Gradient reversal by finite differences; networks side by side that share nothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from grnformer_sc.nn.adversarial import AdversarialNet, reverse_gradient, train_adversarial

WEIGHT = 0.7


def net_of(seed: int = 0, *, models: int = 1, dropout: float = 0.0) -> AdversarialNet:
    random = torch.Generator().manual_seed(seed)
    return AdversarialNet(models, 6, hidden=5, narrow=4, dropout=dropout, generator=random).double()


def rows(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def difference(loss, parameter: torch.Tensor, place: tuple[int, ...], step: float = 1e-6) -> float:
    """Central difference of a loss in one number of a parameter."""
    with torch.no_grad():
        parameter[place] += step
        above = float(loss())
        parameter[place] -= 2 * step
        below = float(loss())
        parameter[place] += step
    return (above - below) / (2 * step)


def test_the_reversal_keeps_values_and_turns_gradients_round():
    x = rows(0, 3, 4).requires_grad_()
    weight = torch.tensor([[0.5], [2.0], [0.0]], dtype=torch.float64)
    out = reverse_gradient(x, weight)
    assert torch.equal(out, x)
    (out * rows(1, 3, 4)).sum().backward()
    torch.testing.assert_close(x.grad, -weight * rows(1, 3, 4))


def test_gradients_are_those_of_finite_differences_with_the_domain_turned_round():
    """Extractor: label loss minus weight times domain loss; discriminator: domain loss as it is."""
    net, weight = net_of(), torch.tensor([WEIGHT], dtype=torch.float64)
    lines, cells = rows(1, 1, 7, 6), rows(2, 1, 8, 6)
    labels = torch.tensor([[0.0, 1, 0, 1, 1, 0, 1]], dtype=torch.float64)

    def losses() -> tuple[torch.Tensor, torch.Tensor]:
        label, told = net.losses(lines, labels, cells, weight)
        return label.sum(), told.sum()

    sum(losses()).backward()
    first, last = net.extractor[0].weight, net.discriminator[0].weight
    for place in [(0, 0, 0), (0, 3, 2), (0, 5, 4)]:
        label = difference(lambda: losses()[0], first, place)
        told = difference(lambda: losses()[1], first, place)
        assert abs(told) > 1e-5
        assert float(first.grad[place]) == pytest.approx(label - WEIGHT * told, abs=1e-7)
    for place in [(0, 0, 1), (0, 4, 3)]:
        assert float(last.grad[place]) == pytest.approx(difference(lambda: losses()[1], last, place), abs=1e-7)


def test_networks_side_by_side_share_nothing():
    """A network of two gives the values and gradients that it has alone."""
    both = net_of(models=2)
    alone = net_of()
    alone.load_state_dict({name: value[1:] for name, value in both.state_dict().items()})
    x, y, cells = rows(1, 2, 5, 6), (rows(2, 2, 5) > 0).double(), rows(3, 2, 4, 6)
    weight = torch.tensor([0.1, WEIGHT], dtype=torch.float64)
    torch.stack(both.losses(x, y, cells, weight)).sum().backward()
    torch.stack(alone.losses(x[1:], y[1:], cells[1:], weight[1:])).sum().backward()
    for mine, theirs in zip(alone.parameters(), both.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad[1:])


def trained(weight: float, seed: int = 0) -> tuple[AdversarialNet, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Label in the first feature, domain in the second; both on the same scale."""
    random = torch.Generator().manual_seed(seed)
    lines, cells = (torch.randn(n, 6, generator=random) for n in (80, 120))
    cells[:, 1] += 3
    labels = (lines[:, 0] > 0).float()
    net = AdversarialNet(2, 6, hidden=16, narrow=8, dropout=0.2, generator=random)
    options = {"epochs": 40, "batch_size": 32, "lr": 3e-3, "decay": 1e-2, "generator": random}
    train = torch.ones(2, 80, dtype=torch.bool)
    train_adversarial(net, lines, labels, train, cells, weight=torch.full((2,), weight), **options)
    return net, lines, labels, cells


def test_the_label_is_learnt_and_the_domain_is_unlearnt():
    told = {}
    for weight in (0.0, 1.0):
        net, lines, labels, cells = trained(weight)
        with torch.inference_mode():
            right = ((net(lines) > 0) == (labels > 0)).float().mean()
            seen = [net.features(part)[0] for part in (lines, cells)]
        assert right > 0.9
        gap = (seen[0].mean(dim=0) - seen[1].mean(dim=0)).norm()
        told[weight] = float(gap / torch.cat(seen).std(dim=0).norm())
    assert told[1.0] < 0.8 * told[0.0]


def test_training_repeats_itself_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = trained(0.3)[0], trained(0.3)[0]
    assert torch.equal(before, torch.get_rng_state())
    for mine, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(first.extractor[0].weight[0], first.extractor[0].weight[1])


def test_a_network_sees_its_own_lines_only():
    """Other labels of lines that are left out change nothing."""
    weights = []
    for turned in (False, True):
        random = torch.Generator().manual_seed(3)
        lines, cells = (torch.randn(n, 6, generator=random) for n in (40, 30))
        labels = (lines[:, 0] > 0).float()
        train = torch.zeros(1, 40, dtype=torch.bool)
        train[:, :30] = True
        if turned:
            labels[30:] = 1 - labels[30:]
        net = AdversarialNet(1, 6, hidden=4, narrow=3, dropout=0.5, generator=random)
        options = {"epochs": 3, "batch_size": 16, "lr": 1e-2, "decay": 0.0, "generator": random}
        train_adversarial(net, lines, labels, train, cells, weight=torch.zeros(1), **options)
        weights.append(net.extractor[0].weight.detach().clone())
    assert torch.equal(*weights)


def test_cross_entropy_is_the_mean_over_rows():
    net = net_of(models=2)
    x, y, cells = rows(1, 2, 5, 6), (rows(2, 2, 5) > 0).double(), rows(3, 2, 4, 6)
    label, _ = net.losses(x, y, cells, torch.ones(2, dtype=torch.float64))
    logits = net.predictor(net.extractor(x)).squeeze(-1)
    torch.testing.assert_close(label[1], functional.binary_cross_entropy_with_logits(logits[1], y[1]))
