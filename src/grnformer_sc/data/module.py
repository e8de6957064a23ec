"""Batches of cells for Lightning: a seeded split, seeded masks per epoch and batch, no loop over cells."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int64
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from .._core.rng import generator
from ..nn.batch import CellBatch
from .batch import Collator

TRAIN = "train"
BatchKey = tuple[tuple[object, ...], np.ndarray]  # what the random numbers of a batch are named after, and its cells


def split_cells(
    n_cells: int, *, train_size: float, root: int
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " validation"]]:
    """Split cells at random into training and validation (at least one training cell)."""
    order = generator(root, "split").permutation(n_cells)
    n_train = max(1, round(train_size * n_cells))
    return np.sort(order[:n_train]), np.sort(order[n_train:])


class _Batches(Dataset[CellBatch]):
    """A batch per key; the mask of a batch follows from its key alone, so a resumed run sees the same masks."""

    def __init__(self, collator: Collator, root: int) -> None:
        self.collator, self.root = collator, root

    def __getitem__(self, key: BatchKey) -> CellBatch:
        names, index = key
        return self.collator(index, generator(self.root, *names), training=names[0] == TRAIN)


class _Epochs(Sampler[BatchKey]):
    """Keys of the batches of one epoch, shared between processes. Lightning calls `set_epoch` before each."""

    def __init__(self, index: np.ndarray, batch_size: int, root: int, *, shuffle: bool) -> None:
        self.index, self.batch_size, self.root, self.shuffle, self.epoch = index, batch_size, root, shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.index.size / (self.batch_size * _world()[1]))

    def __iter__(self) -> Iterator[BatchKey]:
        index, epoch = self.index, self.epoch if self.shuffle else 0
        if self.shuffle:
            index = generator(self.root, "order", epoch).permutation(index)
        purpose = TRAIN if self.shuffle else "validation"  # validation: the same masks in every epoch
        rank, world = _world()
        blocks = [index[a : a + self.batch_size] for a in range(0, index.size, self.batch_size)]
        for step in range(rank, len(self) * world, world):  # every process takes equally many: the last may repeat
            yield (purpose, epoch, step), blocks[step % len(blocks)]


def _world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class CellDataModule(LightningDataModule):
    """Training and validation batches of one data set.

    Parameters
    ----------
    collator
        Builds batches.
    train, validation
        Rows of the cells.
    batch_size
        Cells per batch.
    root
        Root of all random choices.
    """

    def __init__(
        self, collator: Collator, train: np.ndarray, validation: np.ndarray, *, batch_size: int, root: int
    ) -> None:
        super().__init__()
        self.collator, self.train, self.validation = collator, train, validation
        self.batch_size, self.root = batch_size, root

    def train_dataloader(self) -> DataLoader[CellBatch]:
        """Training cells, in a new order and with new masks in every epoch."""
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> DataLoader[CellBatch]:
        """Validation cells, with the same masks in every epoch."""
        return self._loader(self.validation, shuffle=False)

    def transfer_batch_to_device(self, batch: CellBatch, device: torch.device, dataloader_idx: int) -> CellBatch:
        """Move a batch (Lightning cannot rebuild a frozen dataclass)."""
        return batch.to(device)

    def _loader(self, index: np.ndarray, *, shuffle: bool) -> DataLoader[CellBatch]:
        keys = _Epochs(index, self.batch_size, self.root, shuffle=shuffle)
        return DataLoader(_Batches(self.collator, self.root), sampler=keys, batch_size=None)
