"""Networks kept in a file, and how those of other data are found again by the names of genes, TFs and regions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...._core.checks import fail, listing
from ...._core.files import whole_file
from ...._core.tables import places_by_upper
from ...intervals import overlapping
from ...region_gene import parse_regions
from .inputs import Block, Wiring
from .model import FIRST, NAMES, SECOND, Nets
from .training import Anchor

FORMAT = {"format": "grnformer-sc linger", "schema": "1"}
KINDS = ("weight", "fisher")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Networks of all genes and the Fisher information of their weights.

    `parts` holds `weight.tf` (genes x 64 x TFs), `weight.region` (pairs x 64), ... and the same below `fisher.`;
    `gene` and `region` number the gene and the region of every pair.
    """

    genes: pd.Index
    tfs: pd.Index
    regions: pd.Index
    gene: Int[np.ndarray, " pairs"]
    region: Int[np.ndarray, " pairs"]
    parts: dict[str, Tensor]

    @classmethod
    def empty(cls, wiring: Wiring, targets: Int[np.ndarray, " targets"]) -> Pretrained:
        """Room for the networks of these genes."""
        pairs = wiring.pairs[wiring.pairs["gene"].isin(targets)]
        region, number = np.unique(pairs["region"].to_numpy(), return_inverse=True)
        n = targets.size
        shape = {
            "tf": (n, FIRST, wiring.tfs.size), "region": (len(pairs), FIRST), "bias1": (n, FIRST),
            "second": (n, SECOND, FIRST), "bias2": (n, SECOND), "third": (n, SECOND), "bias3": (n,),
        }  # fmt: skip
        parts = {f"{kind}.{name}": torch.zeros(shape[name]) for kind in KINDS for name in NAMES}
        gene = np.searchsorted(targets, pairs["gene"].to_numpy())
        return cls(wiring.genes[targets], wiring.tfs, wiring.regions[region], gene, number.astype(np.int64), parts)

    def put(self, rows: Int[np.ndarray, " genes"], kind: str, nets: Nets) -> None:
        """Write the networks of some genes."""
        first = np.searchsorted(self.gene, np.arange(self.genes.size + 1))
        for name, value in zip(NAMES, nets, strict=True):
            part, value = self.parts[f"{kind}.{name}"], value.cpu()  # noqa: PLW2901
            if name != "region":
                part[torch.from_numpy(rows)] = value
                continue
            for place, row in enumerate(rows):
                part[first[row] : first[row + 1]] = value[place, :, : first[row + 1] - first[row]].T

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all."""
        names = {name: json.dumps(getattr(self, name).tolist()) for name in ("genes", "tfs", "regions")}
        pairs = {"pair.gene": torch.from_numpy(self.gene), "pair.region": torch.from_numpy(self.region)}
        with whole_file(path) as draft:
            save_file({**self.parts, **pairs}, draft, metadata={**FORMAT, **names})

    @classmethod
    def read(cls, path: Path) -> Pretrained:
        """Read what `save` wrote; values are read from the file as they are used."""
        if not path.is_file():
            raise fail(
                FileNotFoundError, "bulk names a file of networks.", f"{str(path)!r}, which does not exist.",
                "write one: build_grn(..., method='linger', options={'save': 'networks.safetensors'}).",
            )  # fmt: skip
        try:
            with safe_open(path, "pt") as file:
                told = file.metadata() or {}
        except SafetensorError as error:
            raise fail(
                ValueError, f"{path.name!r} must be a safetensors file.", f"{error}.",
                "name a file that build_grn(..., method='linger', options={'save': ...}) wrote; copy it anew if it was cut.",
            ) from error  # fmt: skip
        if any(told.get(name) != value for name, value in FORMAT.items()):
            raise fail(
                ValueError, f"{path.name!r} must hold networks of LINGER, of schema {FORMAT['schema']}.",
                f"{told.get('format', 'another content')!r} {told.get('schema', '')}.".replace(" .", "."),
                "write it anew: build_grn(..., method='linger', options={'save': ...}).",
            )  # fmt: skip
        parts = load_file(path)
        gene, region = (parts.pop(f"pair.{name}").numpy() for name in ("gene", "region"))
        genes, tfs, regions = (pd.Index(json.loads(told[name]), dtype=str) for name in ("genes", "tfs", "regions"))
        return cls(genes, tfs, regions, gene, region, parts)


@dataclass(frozen=True, slots=True)
class Matched:
    """Other networks, and where each gene, TF and pair of this data is found in them (-1: nowhere)."""

    nets: Pretrained
    gene: Int[np.ndarray, " genes"]
    tf: Int[np.ndarray, " tfs"]
    pair: Int[np.ndarray, " pairs"]

    def lost(self, targets: Int[np.ndarray, " targets"]) -> dict[str, int]:
        """Numbers of genes, TFs and pairs of the data that the networks do not know."""
        return {
            "genes_not_in_bulk": int((self.gene[targets] < 0).sum()), "tfs_not_in_bulk": int((self.tf < 0).sum()),
            "pairs_not_in_bulk": int((self.pair < 0).sum()),
        }  # fmt: skip

    def anchor(self, block: Block) -> Anchor:
        """What the networks hold for a block of genes; 0 for all else."""
        made = {kind: self._of(block, kind) for kind in KINDS}
        return Anchor(made["weight"], made["fisher"])

    def start(self, block: Block, drawn: Nets) -> Nets:
        """Networks to begin with: those of the other data, and drawn weights for what they do not know."""
        known = self._of(block, "weight")
        gene, tf = torch.from_numpy(self.gene[block.genes] >= 0), torch.from_numpy(self.tf >= 0)
        pair = torch.from_numpy((block.pair >= 0) & (self.pair[block.pair] >= 0)) if self.pair.size else None
        keep = {
            "tf": (gene[:, None] & tf)[:, None],
            "region": gene.new_zeros(block.pair.shape)[:, None] if pair is None else pair[:, None],
        }
        mixed = []
        for name, there, start in zip(NAMES, known, drawn, strict=True):
            mask = keep.get(name, gene.reshape(-1, *[1] * (start.ndim - 1)))
            mixed.append(torch.where(mask, there, start))
        return Nets(*mixed)

    def _of(self, block: Block, kind: str) -> Nets:
        gene, parts = self.gene[block.genes], self.nets.parts
        known, row = torch.from_numpy(gene >= 0), torch.from_numpy(np.maximum(gene, 0))

        def of_genes(name: str) -> Tensor:
            value = parts[f"{kind}.{name}"][row]
            return value * known.reshape(-1, *[1] * (value.ndim - 1))

        tf = of_genes("tf")[:, :, np.maximum(self.tf, 0)] * torch.from_numpy(self.tf >= 0)
        region = torch.zeros(*block.pair.shape, FIRST)
        there = block.pair >= 0
        there[there] = self.pair[block.pair[there]] >= 0
        region[torch.from_numpy(there)] = parts[f"{kind}.region"][torch.from_numpy(self.pair[block.pair[there]])]
        rest = (of_genes(name) for name in NAMES[2:])
        return Nets(tf, region.mT.contiguous(), *rest)


def match(nets: Pretrained, wiring: Wiring, targets: Int[np.ndarray, " targets"]) -> Matched:
    """Find genes and TFs by name (letter case aside), and each pair by its gene and the region it overlaps most."""
    gene = places_by_upper(nets.genes, wiring.genes)
    tf = places_by_upper(nets.tfs, wiring.tfs)
    for place, what, ours, theirs in (
        (gene[targets], "genes", wiring.genes[targets], nets.genes), (tf, "TFs", wiring.tfs, nets.tfs),
    ):  # fmt: skip
        if (place < 0).all():
            raise fail(
                ValueError, f"some {what} must be those of the networks in bulk=.",
                f"{what} {listing(ours, 3)}, and {listing(theirs, 3)} there.",
                "use the same kind of gene names: grs.pp.harmonize_genes.",
            )  # fmt: skip
    pair = _match_pairs(nets, wiring, gene)
    if pair.size and nets.region.size and (pair < 0).all():
        raise fail(
            ValueError, "some regions must overlap those of the networks in bulk=.",
            f"regions {listing(wiring.regions, 3)}, and {listing(nets.regions, 3)} there.",
            "use data of the same genome, or networks of RNA alone.",
        )  # fmt: skip
    return Matched(nets, gene, tf, pair)


def _match_pairs(nets: Pretrained, wiring: Wiring, gene: Int[np.ndarray, " genes"]) -> Int[np.ndarray, " pairs"]:
    """Row of the other pair that fits every pair best, -1 where none does."""
    out = np.full(len(wiring.pairs), -1)
    if not out.size or not nets.region.size:
        return out
    here, there = parse_regions(wiring.regions), parse_regions(nets.regions)
    one, two = overlapping(here, there, fraction=0.0)
    ends = np.minimum(here["end"].to_numpy()[one], there["end"].to_numpy()[two])
    starts = np.maximum(here["start"].to_numpy()[one], there["start"].to_numpy()[two])
    both = pd.DataFrame({"region": one, "other": two, "shared": ends - starts})
    own = pd.DataFrame({"gene": gene[wiring.pairs["gene"]], "region": wiring.pairs["region"].to_numpy()})
    own = own.assign(row=np.arange(len(own))).merge(both, on="region")
    other = pd.DataFrame({"gene": nets.gene, "other": nets.region, "place": np.arange(nets.gene.size)})
    found = own.merge(other, on=["gene", "other"]).sort_values(
        ["row", "shared", "place"], ascending=[True, False, True]
    )
    best = found.drop_duplicates("row")
    out[best["row"]] = best["place"]
    return out
