"""Every AnnData slot name of the package, each spelled once."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_METHOD = "eregulon"


@dataclass(frozen=True, slots=True)
class GrnKeys:
    """Slots of one network in the RNA AnnData (and two in the ATAC one), derived from one base name."""

    base: str = "grn"

    @classmethod
    def for_method(cls, method: str, key_added: str | None = None) -> GrnKeys:
        """Give another method its own base name, so that two methods never overwrite each other."""
        if key_added is not None:
            return cls(key_added)
        return cls() if method == DEFAULT_METHOD else cls(f"grn_{method}")

    @property
    def uns(self) -> str:
        return self.base

    @property
    def varp(self) -> str:
        return self.base

    @property
    def group(self) -> str:
        return f"{self.base}_group"

    @property
    def auc(self) -> str:
        return f"{self.base}_auc"

    @property
    def active(self) -> str:
        return f"{self.base}_active"

    @property
    def auc_region(self) -> str:
        return f"{self.base}_auc_region"

    @property
    def active_region(self) -> str:
        return f"{self.base}_active_region"

    @property
    def pool(self) -> str:
        return f"{self.auc_region}_pool"

    @property
    def of_regions(self) -> list[tuple[str, str]]:
        """Slots and keys of what the regions of a network say of single cells."""
        return [("obsm", self.auc_region), ("obsm", self.active_region), ("obs", self.pool)]

    @property
    def of_cells(self) -> list[tuple[str, str]]:
        """Slots and keys of all that a network says of single cells; another network makes them stale."""
        obsm, obsp = (self.auc, self.active, self.cells), (self.connectivities, self.distances)
        own = [*(("obsm", key) for key in obsm), *(("obsp", key) for key in obsp), ("uns", self.cells)]
        return [*own, *self.of_regions]

    @property
    def mapped(self) -> str:
        return f"{self.base}_mapped"

    @property
    def map_agreement(self) -> str:
        return f"{self.base}_map_agreement"

    @property
    def map_distance(self) -> str:
        return f"{self.base}_map_distance"

    @property
    def map_unanimity(self) -> str:
        return f"{self.base}_map_unanimity"

    @property
    def connectivities(self) -> str:
        return f"{self.base}_connectivities"

    @property
    def distances(self) -> str:
        return f"{self.base}_distances"

    @property
    def cells(self) -> str:
        return f"{self.base}_cells"

    @property
    def rank_eregulons(self) -> str:
        return f"{self.base}_rank_eregulons"

    @property
    def rank_eregulons_region(self) -> str:
        return f"{self.base}_rank_eregulons_region"

    @property
    def differential_edges(self) -> str:
        return f"{self.base}_differential_edges"

    @property
    def rank_cell_types(self) -> str:
        return f"{self.base}_rank_cell_types"

    @property
    def rank_targets(self) -> str:
        return f"{self.base}_rank_targets"


@dataclass(frozen=True, slots=True)
class ModelKeys:
    """Slots written by a fitted model."""

    base: str = "grnformer"

    @property
    def uns(self) -> str:
        return self.base

    @property
    def embedding(self) -> str:
        return f"X_{self.base}"

    @property
    def genes(self) -> str:
        return self.base

    @property
    def attention(self) -> str:
        return f"{self.base}_attention"

    def perturbed(self, kind: str) -> str:
        return f"{self.base}_{kind}"


@dataclass(frozen=True, slots=True)
class PerturbationKeys:
    """Slots written by a simulated perturbation of the network `base` comes from."""

    base: str = "grn_ko"

    @classmethod
    def for_network(cls, key: str, key_added: str | None = None) -> PerturbationKeys:
        """Name the slots after the network unless they are named."""
        return cls(f"{key}_ko" if key_added is None else key_added)

    @property
    def uns(self) -> str:
        return self.base

    @property
    def change(self) -> str:
        return self.base

    @property
    def step(self) -> str:
        return f"{self.base}_step"

    @property
    def layer(self) -> str:
        return self.base

    @property
    def flow(self) -> str:
        return f"{self.base}_flow"

    @property
    def score(self) -> str:
        return f"{self.base}_score"


@dataclass(frozen=True, slots=True)
class SensitivityKeys:
    """Slots of the sensitivity of cells to one drug."""

    base: str

    @classmethod
    def for_drug(cls, drug: str, key_added: str | None = None) -> SensitivityKeys:
        """Name the slots after the drug unless they are named; formats take a "/" for a path."""
        return cls(f"sens_{drug}".replace("/", "_") if key_added is None else key_added)

    @property
    def obs(self) -> str:
        return self.base

    @property
    def sd(self) -> str:
        return f"{self.base}_sd"

    @property
    def uns(self) -> str:
        return self.base


@dataclass(frozen=True, slots=True)
class DrugResponseKeys:
    """Slots written by a model of drug response."""

    base: str = "drug_response_grnformer"

    @classmethod
    def for_method(cls, method: str, key_added: str | None = None) -> DrugResponseKeys:
        """Give every method its own slots unless they are named."""
        return cls(f"{DRUG_RESPONSE}_{method}" if key_added is None else key_added)

    @property
    def uns(self) -> str:
        return self.base

    @property
    def held_out(self) -> str:
        return self.base

    @property
    def fold(self) -> str:
        return f"{self.base}_fold"

    @property
    def final(self) -> str:
        return f"{self.base}_all"


@dataclass(frozen=True, slots=True)
class ConditionKeys:
    """Slots that say what was done to each cell, written by `pp.perturbation_setup`."""

    base: str = "perturbed"

    @property
    def uns(self) -> str:
        return self.base

    @property
    def label(self) -> str:
        return self.base

    @property
    def context(self) -> str:
        return f"{self.base}_context"


DRUG_RESPONSE = "drug_response"  # obsm: measured lines x drugs; uns: the drugs
MOTIFS = "motifs"  # atac.varm: CSR regions x TFs; atac.uns: TF names and source
MOTIFS_EXTENDED = "motifs_extended"  # atac.varm: the same shape, hits by orthology or motif similarity alone
DIFFERENTIAL_REGIONS = "differential_regions"  # atac.uns: regions more open in one group
REGION_GENE = "region_gene"  # atac.uns: the search space
METACELLS = "metacells"  # uns of a metacell object: how it was made
HARMONIZED = "harmonize_genes"  # rna.uns: how gene names were matched
TRUTH = "truth"  # uns of simulated data: the planted network
TRUTH_ACTIVITY = "truth_activity"  # obsm of simulated data: latent TF activity
GENOME = "genome"  # atac.uns of simulated data: how to rebuild the sequence
CONSENSUS = "grn_consensus"  # base name of a network made of others
SPLIT = "split"  # rna.obs and rna.uns: which perturbations are held out
PREDICTED = "perturb"  # uns of predicted perturbations: how they were made
COMPARISON = "grn_comparison"  # rna.uns: networks judged side by side
