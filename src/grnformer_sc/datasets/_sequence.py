"""Sequences of the simulator: motifs, planted instances, and an exact scan for hits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, UInt8

from .._core.checks import fail, listing
from .._core.keys import GENOME
from .._core.rng import generator

if TYPE_CHECKING:
    from mudata import MuData

LENGTH = 10  # bp of a motif
P_VALUE = 5e-5  # of a hit at one position of random sequence
SCALE = 50  # log-odds are rounded to 1/50 bit: sums are exact in float32, whatever the order of addition
BASES = np.frombuffer(b"ACGT", dtype=np.uint8)
SITE = 20  # bp kept free for each planted instance
CHUNK = 128  # regions scanned at once


def draw_motifs(n_tfs: int, rng: np.random.Generator) -> Float[np.ndarray, "tfs length bases"]:
    """Draw position probability matrices; every fifth TF has a motif almost equal to that of the TF before it."""
    consensus = rng.integers(0, 4, (n_tfs, LENGTH))
    main = rng.choice([0.96, 0.9, 0.75], (n_tfs, LENGTH), p=[0.55, 0.35, 0.1])
    twins = np.arange(4, n_tfs, 5)
    consensus[twins], main[twins] = consensus[twins - 1], main[twins - 1]
    changed = rng.integers(0, LENGTH, twins.size)
    consensus[twins, changed] = (consensus[twins, changed] + 1) % 4
    out = np.repeat((1 - main)[:, :, None] / 3, 4, axis=2)
    np.put_along_axis(out, consensus[:, :, None], main[:, :, None], axis=2)
    return out


def draw_sequences(
    shape: tuple[int, int],
    site_region: Int[np.ndarray, " sites"],
    site_tf: Int[np.ndarray, " sites"],
    motifs: Float[np.ndarray, "tfs length bases"],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "regions width"]:
    """Draw random sequence (0 to 3 for ACGT) and write one instance of its motif, on either strand, at every site."""
    n_regions, width = shape
    sequence = rng.integers(0, 4, shape, dtype=np.uint8)
    order = np.argsort(site_region, kind="stable")
    region, tf = site_region[order], site_tf[order]
    nth = np.arange(region.size) - np.searchsorted(region, region)
    n_slots = width // SITE
    slot = (rng.integers(0, n_slots, n_regions)[region] + 7 * nth) % n_slots
    start = slot * SITE + rng.integers(0, SITE - LENGTH, region.size)
    below = rng.random((region.size, LENGTH, 1)) > np.cumsum(motifs, axis=2)[tf][:, :, :3]
    instance = below.sum(axis=2).astype(np.uint8)
    reverse = rng.random(region.size) < 0.5
    instance[reverse] = 3 - instance[reverse, ::-1]
    sequence[region[:, None], start[:, None] + np.arange(LENGTH)] = instance
    return sequence


def scan(sequence: UInt8[np.ndarray, "regions width"], motifs: Float[np.ndarray, "tfs length bases"]) -> sp.csr_matrix:
    """Best log-odds score (bits) of every motif on both strands of every region, where it reaches the p-value."""
    points = np.rint(np.log2(motifs / 0.25) * SCALE).astype(np.float32)
    cut = np.array([_threshold(p.astype(np.int64)) for p in points], dtype=np.float32)
    both = np.concatenate([points, points[:, ::-1, ::-1]])
    weights = np.ascontiguousarray(both.reshape(len(both), -1).T)
    parts = []
    for first in range(0, len(sequence), CHUNK):
        onehot = (sequence[first : first + CHUNK, :, None] == np.arange(4, dtype=np.uint8)).astype(np.float32)
        flat = onehot.reshape(len(onehot), -1)
        windows = np.lib.stride_tricks.sliding_window_view(flat, LENGTH * 4, axis=1)[:, ::4]
        score = (windows.reshape(-1, LENGTH * 4) @ weights).reshape(len(onehot), -1, len(both)).max(axis=1)
        best = np.maximum(score[:, : len(points)], score[:, len(points) :])
        parts.append(sp.csr_matrix(np.where(best >= cut, best / np.float32(SCALE), np.float32(0))))
    return sp.vstack(parts, format="csr", dtype=np.float32)


def _threshold(points: Int[np.ndarray, "length bases"]) -> int:
    """Smallest score with a tail probability of at most P_VALUE in random sequence (exact, by convolution)."""
    low = points.min(axis=1)
    density = np.ones(1)
    for position, smallest in zip(points, low, strict=True):
        shift = position - smallest
        grown = np.zeros(density.size + shift.max())
        for step in shift:
            grown[step : step + density.size] += density / 4
        density = grown
    tail = np.cumsum(density[::-1])[::-1]
    return int(np.argmax(np.r_[tail, 0.0] <= P_VALUE) + low.sum())


def to_text(sequence: UInt8[np.ndarray, "regions width"]) -> list[str]:
    """Write sequences as text."""
    letters = BASES[sequence].tobytes().decode()
    width = sequence.shape[1]
    return [letters[i : i + width] for i in range(0, len(letters), width)]


def simulated_genome(mdata: MuData) -> dict[str, str]:
    """Build the genome sequence that belongs to a simulated multiome.

    The region sequences are those of `mdata["atac"].var["sequence"]`, with the planted motif instances; what lies
    between them is random. The sequence is rebuilt from a stored seed, because it is larger than all other data.

    Parameters
    ----------
    mdata
        Result of `simulate_multiome`.

    Returns
    -------
    One text of A, C, G and T per chromosome name, 60 kb per gene.

    Raises
    ------
    KeyError
        `mdata` was not simulated here.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(50, n_genes=20, n_tfs=4, n_types=2)
    >>> genome = grs.datasets.simulated_genome(mdata)
    >>> first = mdata["atac"].var.iloc[0]
    >>> genome[first["chrom"]][first["start"] : first["end"]] == first["sequence"]
    True
    """
    atac = mdata.mod.get("atac")
    if atac is None or GENOME not in atac.uns:
        raise fail(
            KeyError, "the genome belongs to a simulated MuData.",
            f"modalities {listing(mdata.mod)}, no {GENOME!r} in uns.",
            "make the data with grs.datasets.simulate_multiome().",
        )  # fmt: skip
    recipe, genome = atac.uns[GENOME], {}
    root = int(str(recipe["root"]), 16)
    for chrom, length in zip(recipe["chrom"], recipe["length"], strict=True):
        bases = BASES[generator(root, "genome", chrom).integers(0, 4, int(length), dtype=np.uint8)]
        own = atac.var[atac.var["chrom"] == chrom]
        for start, sequence in zip(own["start"], own["sequence"], strict=True):
            bases[start : start + len(sequence)] = np.frombuffer(sequence.encode(), dtype=np.uint8)
        genome[str(chrom)] = bases.tobytes().decode()
    return genome
