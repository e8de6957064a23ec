"""Randomness as an argument (SPEC 7); seeds of single items are hashed from one root and the item's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import torch

RngLike: TypeAlias = int | np.random.Generator | None


def as_root(rng: RngLike) -> int:
    """Draw the 128-bit root from which every seed of a call is hashed.

    An integer gives the same root always, a `Generator` is advanced once, `None` takes fresh entropy.
    """
    if isinstance(rng, np.random.Generator):
        high, low = rng.integers(0, 2**64, size=2, dtype=np.uint64, endpoint=False)
        return (int(high) << 64) | int(low)
    if rng is None:
        entropy = np.random.SeedSequence().entropy
        return int(entropy) if isinstance(entropy, int) else 0
    if isinstance(rng, bool) or not isinstance(rng, (int, np.integer)):
        msg = f"rng must be an int, a numpy Generator or None. Found: {type(rng).__name__}. Fix: pass rng=0."
        raise TypeError(msg)
    return _hash64("root", int(rng)) << 64 | _hash64("toor", int(rng))


def _hash64(*parts: object) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def seed_for(root: int, *names: object) -> int:
    """Hash one 64-bit seed from the root and the names of the item it is for."""
    return _hash64(root, *names)


def seeds_for(root: int, purpose: str, names: Iterable[str]) -> np.ndarray:
    """Seeds of many named items (uint64): they depend on names only, so not on order or number of threads."""
    return np.array([_hash64(root, purpose, name) for name in names], dtype=np.uint64)


def generator(root: int, *names: object) -> np.random.Generator:
    """Numpy generator for one named purpose."""
    return np.random.default_rng(seed_for(root, *names))


def torch_generator(root: int, *names: object, device: str = "cpu") -> torch.Generator:
    """Torch generator for one named purpose."""
    import torch

    return torch.Generator(device=device).manual_seed(seed_for(root, *names) % 2**63)
