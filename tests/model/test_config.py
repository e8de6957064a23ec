from __future__ import annotations

import json

import pytest

from grnformer_sc.model.config import ModelConfig
from grnformer_sc.model.train_config import TrainConfig


@pytest.mark.parametrize("config", [ModelConfig(dim=16, heads=2, gate="gene"), TrainConfig(lr=0.01, max_epochs=3)])
def test_settings_survive_json(config):
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelConfig(dim=30, heads=4), r"multiple of heads.*dim=32"),
        (lambda: ModelConfig(gate="cells"), "gate must be one of"),
        (lambda: ModelConfig(alpha=1.5), r"alpha must lie in \[0, 1\]"),
        (lambda: ModelConfig(swap_types=2), r"swap_types must lie in \[0, 1\]"),
        (lambda: ModelConfig(swap_types=2, use_grn=False), r"swap_types must lie in \[0, 1\]\. Found: 2\."),
        (lambda: ModelConfig(mask_ratio=0), "mask_ratio must be above 0"),
        (lambda: ModelConfig(max_queries=0), "max_queries must be at least 1"),
        (lambda: ModelConfig(layers=0), "layers must be at least 1"),
        (lambda: ModelConfig(conv="gat"), r"conv must be one of.*sage"),
        (lambda: ModelConfig(scales="none"), "scales must be one of"),
        (lambda: ModelConfig(node_features="all"), "node_features must be one of"),
        (lambda: ModelConfig(consistency=-1), "consistency must be at least 0"),
        (lambda: ModelConfig(attention_dropout=1.0), "attention_dropout must lie in"),
        (lambda: TrainConfig(max_epochs=0), "max_epochs must be at least 1"),
        (lambda: TrainConfig(train_size=0), "must be above 0"),
        (lambda: TrainConfig(schedule="step"), "schedule must be one of"),
        (lambda: ModelConfig.from_dict({"width": 3}), r"\[width\]"),
    ],
)
def test_bad_settings_are_refused_at_birth(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_more_cells_take_fewer_epochs_within_bounds():
    epochs = [TrainConfig().epochs(n) for n in (100, 2000, 10_000, 10**6)]
    assert epochs == sorted(epochs, reverse=True)
    assert (max(epochs), min(epochs)) == (100, 5)
    assert TrainConfig(max_epochs=7).epochs(10**6) == 7


def test_a_model_without_a_network_swaps_no_types():
    assert ModelConfig(swap_types=0.2).tokens.swap_types == 0.2
    assert ModelConfig(swap_types=0.2, use_grn=False).tokens == ModelConfig(use_grn=False).tokens
