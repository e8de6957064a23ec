"""Batches of cells for Lightning: a seeded split, seeded masks per epoch and batch, no loop over cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist
from jaxtyping import Float64, Int64
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from .._core.checks import listing
from .._core.rng import generator
from ..nn.batch import CellBatch
from .ahead import Ahead
from .batch import Collator

READ_AHEAD = 16  # batches that are read from disk at once, in the order of the file
SHOWN = 5


def split_cells(
    n_cells: int, *, train_size: float, root: int
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " validation"]]:
    """Split cells at random into training and validation (at least one training cell)."""
    order = generator(root, "split").permutation(n_cells)
    n_train = max(1, round(train_size * n_cells))
    return np.sort(order[:n_train]), np.sort(order[n_train:])


def group_weights(codes: Int64[np.ndarray, " cells"], balance: float) -> Float64[np.ndarray, " cells"] | None:
    """Chance of each cell to be drawn, by (size of its group) ** -balance; None takes every cell once."""
    if balance == 0:
        return None
    weight = np.unique(codes, return_counts=True)[1][np.unique(codes, return_inverse=True)[1]] ** -balance
    return weight / weight.sum()


@dataclass(frozen=True, slots=True)
class BatchKey:
    """What a batch is made of: random numbers named after purpose, epoch and number, its cells, and cells read with them."""

    purpose: Literal["train", "validation"]
    epoch: int
    number: int
    cells: Int64[np.ndarray, " cells"]
    window: Int64[np.ndarray, " window"]


class Sealed:
    """A batch on its way through Lightning, which takes dataclasses apart and with FSDP rounds their numbers to 16 bits."""

    def __init__(self, batch: CellBatch) -> None:
        self.batch = batch


class _Batches(Dataset[Sealed]):
    """A batch per key; the mask of a batch follows from its key alone, so a resumed run sees the same masks."""

    def __init__(self, collator: Collator, root: int) -> None:
        self.collator, self.root = collator, root
        self._window, self._counts = np.empty(0, dtype=np.int64), sp.csr_matrix((0, collator.cells.n_genes))

    def __getitem__(self, key: BatchKey) -> Sealed:
        rng = generator(self.root, key.purpose, key.epoch, key.number)
        return Sealed(self.collator(key.cells, rng, training=key.purpose == "train", counts=self._read(key)))

    def _read(self, key: BatchKey) -> sp.csr_matrix | None:
        """Counts of the cells, from those of its window, which stay until another window is asked for."""
        rows = self.collator.cells.counts
        if rows.in_memory:
            return None
        if key.window is not self._window:
            self._window, self._counts = key.window, rows.take(key.window)
        return self._counts[np.searchsorted(key.window, key.cells)]


class _Epochs(Sampler[BatchKey]):
    """Keys of the batches of one epoch, shared between processes. Lightning calls `set_epoch` before each."""

    def __init__(
        self,
        index: np.ndarray,
        batch_size: int,
        root: int,
        *,
        shuffle: bool,
        weights: Float64[np.ndarray, " cells"] | None = None,
    ) -> None:
        self.index, self.batch_size, self.root, self.shuffle, self.epoch = index, batch_size, root, shuffle, 0
        self.weights = weights

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.index.size / (self.batch_size * _world()[1]))

    def __iter__(self) -> Iterator[BatchKey]:
        blocks, (rank, world) = self.batches(self.epoch), _world()
        own = list(range(rank, len(self) * world, world))  # every process takes equally many: the last may repeat
        epoch = self.epoch if self.shuffle else 0  # validation: the same masks in every epoch
        for start in range(0, len(own), READ_AHEAD):
            numbers = own[start : start + READ_AHEAD]
            window = np.unique(np.concatenate([blocks[n % len(blocks)] for n in numbers]))
            for n in numbers:
                yield BatchKey("train" if self.shuffle else "validation", epoch, n, blocks[n % len(blocks)], window)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Cells of all batches of an epoch."""
        index, n = self.index, self.index.size
        if self.shuffle:
            rng = generator(self.root, "order", epoch)
            index = rng.permutation(index) if self.weights is None else rng.choice(index, n, p=self.weights)
        return [index[a : a + self.batch_size] for a in range(0, n, self.batch_size)]


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
    balance
        How far groups are evened out in training.
    root
        Root of all random choices.
    ahead
        Build the next batch while the device works on one (of use where that is not the CPU).
    """

    def __init__(
        self,
        collator: Collator,
        train: np.ndarray,
        validation: np.ndarray,
        *,
        batch_size: int,
        root: int,
        balance: float = 0.0,
        ahead: bool = False,
    ) -> None:
        super().__init__()
        self.collator, self.root, self.ahead = collator, root, ahead
        weights = group_weights(collator.cells.codes[train], balance)
        self.train = _Epochs(train, batch_size, root, shuffle=True, weights=weights)
        self.validation = _Epochs(validation, batch_size, root, shuffle=False)

    def train_dataloader(self) -> Iterable[Sealed]:
        """Training cells, in a new order and with new masks in every epoch."""
        return self._loader(self.train)

    def val_dataloader(self) -> Iterable[Sealed]:
        """Validation cells, with the same masks in every epoch."""
        return self._loader(self.validation)

    def transfer_batch_to_device(self, batch: Sealed, device: torch.device, dataloader_idx: int) -> Sealed:
        """Move a batch."""
        return Sealed(batch.batch.to(device))

    def describe(self, epoch: int, step: int) -> str:
        """Which training batch the process sees at a step of an epoch: its number and its first cells."""
        rank, world = _world()
        blocks = self.train.batches(epoch)
        number = step * world + rank
        cells = self.collator.cells.cells[blocks[number % len(blocks)]]
        return f"batch {number} of epoch {epoch}: cells {listing(cells, SHOWN)}"

    def _loader(self, keys: _Epochs) -> Iterable[Sealed]:
        loader = DataLoader(_Batches(self.collator, self.root), sampler=keys, batch_size=None)
        return Ahead(loader) if self.ahead else loader
