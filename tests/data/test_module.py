from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from grnformer_sc.data.module import _Epochs, split_cells


def test_the_split_is_seeded_complete_and_disjoint():
    train, validation = split_cells(101, train_size=0.8, root=5)
    assert train.size == 81
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(101))
    np.testing.assert_array_equal(train, split_cells(101, train_size=0.8, root=5)[0])
    assert not np.array_equal(train, split_cells(101, train_size=0.8, root=6)[0])
    assert split_cells(3, train_size=0.01, root=0)[0].size == 1


def test_every_epoch_visits_each_training_cell_once_in_a_new_order():
    keys = _Epochs(np.arange(10, 33), 5, 0, shuffle=True)
    orders = []
    for epoch in (0, 1):
        keys.set_epoch(epoch)
        orders.append(np.concatenate([key.cells for key in keys]))
        np.testing.assert_array_equal(np.sort(orders[-1]), np.arange(10, 33))
    assert len(keys) == 5
    assert not np.array_equal(*orders)


def test_validation_keys_are_the_same_in_every_epoch():
    keys = _Epochs(np.arange(12), 5, 0, shuffle=False)
    first = list(keys)
    keys.set_epoch(3)
    for key, later in zip(first, keys, strict=True):
        assert (key.purpose, key.epoch, key.number) == (later.purpose, later.epoch, later.number)
        np.testing.assert_array_equal(key.cells, later.cells)


def test_processes_share_an_epoch_without_overlap(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    seen = []
    for rank in (0, 1):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        keys = _Epochs(np.arange(20), 5, 0, shuffle=True)
        seen.append(np.concatenate([key.cells for key in keys]))
        assert len(keys) == 2
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(20))
