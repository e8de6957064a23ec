"""The planted network of the simulator: who regulates what, and what follows for the genes and regions of a cell."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.special import expit

from ._layout import Layout

REPRESSORS = 0.3  # share of TFs that mostly repress
TURNED = 0.1  # share of sites that act against their TF's main sign
BOUND = 0.15  # share of the decoy regions that a TF opens without any gene responding
COPIED = 0.4  # share of the decoy regions that are open where some enhancer is
TFS_PER_FACTOR = 5  # cell states within a type: one hidden programme per so many TFs
REGULATED, UNREGULATED = 0.2, 0.8  # spread over cell types of the own level of a gene with and without an enhancer
KNOCKED_OUT = -4.0  # activity of a TF that is not there: below what any cell has


@dataclass(frozen=True, slots=True)
class Regulation:
    """Parameters of the planted network.

    `sites` has one row per TF bound to a region (`region, tf, sign, both`; `both`: its activators act together, AND,
    else each suffices, OR); enhancers are the regions of `layout.links`, the other regions with sites are decoys.
    """

    sites: pd.DataFrame
    slope: Float[np.ndarray, " sites"]
    middle: Float[np.ndarray, " sites"]
    strength: Float[np.ndarray, " links"]
    opening: sp.csr_matrix
    profile: Float[np.ndarray, "regions types"]
    region_rate: Float[np.ndarray, " regions"]
    gene_base: Float[np.ndarray, " genes"]
    gene_types: Float[np.ndarray, "genes types"]
    gene_factors: Float[np.ndarray, "genes factors"]
    tf_types: Float[np.ndarray, "types tfs"]
    hidden_types: Float[np.ndarray, "types tfs"]
    coupling: Float[np.ndarray, " tfs"]
    tf_factors: Float[np.ndarray, "factors tfs"]
    knocked_out: Int[np.ndarray, " absent"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def draw_regulation(layout: Layout, n_tfs: int, n_types: int, hubs: float, rng: np.random.Generator) -> Regulation:
    """Draw who regulates what, how strongly, and what follows cell types and shared factors besides."""
    n_regions, n_genes = len(layout.regions), len(layout.genes)
    enhancers = np.unique(layout.links["region"])
    rest = np.setdiff1d(np.flatnonzero(~layout.regions["promoter"].to_numpy()), enhancers)
    kind = rng.random(rest.size)
    bound, copies = rest[kind < BOUND], rest[(kind >= BOUND) & (kind < BOUND + COPIED * min(enhancers.size, 1))]
    sites = _draw_sites(np.r_[enhancers, bound], n_tfs, hubs, rng)
    per_region = sites.groupby("region")["tf"].transform("size").to_numpy()
    pull = 1.2 * sites["sign"].to_numpy() / np.sqrt(per_region)
    opening = sp.csr_matrix((pull, (sites["tf"], sites["region"])), (n_tfs, n_regions))
    # a TF is on in about a third of the types; its mRNA shows 70-95 % of its activity
    tf_types = np.where(rng.random((n_types, n_tfs)) < 0.35, 0.9, -0.5) + rng.normal(0, 0.2, (n_types, n_tfs))
    hidden_types = rng.normal(0, 0.5, (n_types, n_tfs))
    coupling = rng.uniform(0.7, 0.95, n_tfs)
    n_factors = max(2, n_tfs // TFS_PER_FACTOR)
    tf_factors = rng.normal(0, 0.15, (n_factors, n_tfs))
    tf_factors[rng.permutation(n_tfs) % n_factors, np.arange(n_tfs)] += rng.choice([-0.8, 0.8], n_tfs)
    profile = rng.normal(-0.5, 0.5, (n_regions, 1)) + np.where(rng.random((n_regions, n_types)) < 0.25, -2.5, 0.0)
    mean_activity = _mix(tf_types, hidden_types, coupling)
    model = rng.choice(enhancers, copies.size)
    profile[copies] = profile[model] + (mean_activity @ opening).T[model] + rng.normal(0, 0.3, (copies.size, n_types))
    profile[layout.regions["promoter"].to_numpy()] = rng.normal(0.5, 0.5)
    regulated = np.zeros(n_genes, dtype=bool)
    regulated[layout.links["gene"]] = True
    is_tf = layout.genes["is_tf"].to_numpy()
    own = np.where(regulated, REGULATED, np.where(is_tf, 0.0, UNREGULATED))
    return Regulation(
        sites=sites,
        slope=rng.uniform(1.5, 4, len(sites)),
        middle=rng.normal(0.2, 0.4, len(sites)),
        strength=rng.lognormal(0, 0.4, len(layout.links)),
        opening=opening,
        profile=profile,
        region_rate=rng.lognormal(0, 0.5, n_regions),
        gene_base=np.where(is_tf, 0.5, 2.0) * rng.lognormal(0, 0.7, n_genes),
        gene_types=rng.normal(0, 1, (n_genes, n_types)) * own[:, None],
        gene_factors=rng.normal(0, 0.25 / np.sqrt(len(tf_factors)), (n_genes, len(tf_factors))) * ~is_tf[:, None],
        tf_types=tf_types,
        hidden_types=hidden_types,
        coupling=coupling,
        tf_factors=tf_factors,
    )


def _draw_sites(regions: Int[np.ndarray, " bound"], n_tfs: int, hubs: float, rng: np.random.Generator) -> pd.DataFrame:
    """TFs bound to each region: one to three different ones, most with the main sign of the TF."""
    count = 1 + (rng.random(regions.size) < 0.5) + (rng.random(regions.size) < 0.1)
    main = np.where(rng.permutation(n_tfs) < REPRESSORS * n_tfs, -1, 1)
    sites = pd.DataFrame({"region": np.repeat(regions, count), "tf": _draw_tfs(n_tfs, hubs, int(count.sum()), rng)})
    sites["sign"] = main[sites["tf"]] * np.where(rng.random(len(sites)) < TURNED, -1, 1)
    sites["both"] = np.repeat(rng.random(regions.size) < 0.5, count)
    return sites.drop_duplicates(["region", "tf"]).sort_values(["region", "tf"], ignore_index=True)


def _draw_tfs(n_tfs: int, hubs: float, size: int, rng: np.random.Generator) -> Int[np.ndarray, " sites"]:
    """TF of every site; the k-th most frequent one (which, is random) has a share proportional to k ** -hubs."""
    if hubs == 0:
        return rng.integers(0, n_tfs, size)
    share = rng.permutation(np.arange(1, n_tfs + 1) ** -hubs)
    return rng.choice(n_tfs, size, p=share / share.sum())


def cut_links(layout: Layout, plan: Regulation) -> tuple[Layout, Regulation]:
    """Nothing is regulated; the genes that were follow the cell types as much as the others."""
    regulated = np.unique(layout.links["gene"])
    gene_types = plan.gene_types.copy()
    gene_types[regulated] *= UNREGULATED / REGULATED
    return replace(layout, links=layout.links[:0]), replace(
        plan, opening=plan.opening * 0, strength=plan.strength[:0], gene_types=gene_types
    )


def draw_states(
    types: Int[np.ndarray, " cells"], layout: Layout, plan: Regulation, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "cells tfs"], Float[np.ndarray, "cells regions"], Float[np.ndarray, "cells genes"]]:
    """Latent activity, openness and expected RNA counts (of a cell of mean depth), before anything is measured."""
    n, n_tfs = types.size, plan.coupling.size
    factors = rng.normal(size=(n, len(plan.tf_factors)))
    shown = plan.tf_types[types] + factors @ plan.tf_factors + rng.normal(0, 0.5, (n, n_tfs))
    hidden = plan.hidden_types[types] + rng.normal(0, 0.7, (n, n_tfs))
    activity = _mix(shown, hidden, plan.coupling)
    activity[:, plan.knocked_out] = KNOCKED_OUT
    opened = expit(plan.profile.T[types] + activity @ plan.opening)
    regulated = _regulate(activity, opened, layout, plan)
    regulated[:, :n_tfs] = np.exp(0.9 * shown)
    regulated[:, plan.knocked_out] = 0
    return (
        activity,
        opened,
        plan.gene_base * regulated * np.exp(plan.gene_types.T[types] + factors @ plan.gene_factors.T),
    )


def _mix(shown: np.ndarray, hidden: np.ndarray, coupling: np.ndarray) -> np.ndarray:
    """TF activity: the part that mRNA shows and the part that it does not."""
    return coupling * shown + np.sqrt(1 - coupling**2) * hidden


def _regulate(
    activity: Float[np.ndarray, "cells tfs"],
    opened: Float[np.ndarray, "cells regions"],
    layout: Layout,
    plan: Regulation,
) -> Float[np.ndarray, "cells genes"]:
    """Expression relative to the base rate: Hill functions, AND/OR, openness, saturating sum over enhancers.

    With the activity on a log scale the Hill function a^n / (k^n + a^n) is a logistic function of it.
    """
    sites, links = plan.sites, layout.links
    hill = expit(plan.slope * (activity[:, sites["tf"].to_numpy()] - plan.middle))
    on, off = np.log(np.maximum(hill, 1e-6)), np.log(np.maximum(1 - hill, 1e-6))
    activates, both = sites["sign"].to_numpy() > 0, sites["both"].to_numpy()
    shape = len(sites), opened.shape[1]

    def total(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(chosen)
        return values @ sp.csr_matrix((np.ones(rows.size), (rows, sites["region"].to_numpy()[rows])), shape)

    joint = np.exp(total(on, activates & both))
    some = np.zeros(opened.shape[1], dtype=bool)
    some[sites["region"][activates & ~both]] = True
    either = np.where(some, 1 - np.exp(total(off, activates & ~both)), 1.0)
    drive = opened * joint * either * np.exp(total(off, ~activates))
    pull = sp.csr_matrix((plan.strength, (links["region"], links["gene"])), (opened.shape[1], len(layout.genes)))
    x = drive @ pull
    has = np.asarray(pull.sum(axis=0)).ravel() > 0
    return np.where(has, 0.05 + 1.6 * x / (0.35 + x), 0.5)


def true_links(layout: Layout, plan: Regulation) -> pd.DataFrame:
    """Table of the planted links: tf, region, gene, sign, logic."""
    table = layout.links.merge(plan.sites, on="region")
    activators = table.assign(n=table["sign"] > 0).groupby(["region", "gene"])["n"].transform("sum")
    logic = np.where((table["sign"] < 0) | (activators < 2), "single", np.where(table["both"], "and", "or"))
    frame = pd.DataFrame(
        {
            "tf": layout.genes.index.to_numpy()[table["tf"]],
            "region": layout.regions.index.to_numpy()[table["region"]],
            "gene": layout.genes.index.to_numpy()[table["gene"]],
            "sign": table["sign"].to_numpy(dtype=np.int8),
            "logic": logic,
        }
    )
    frame = frame.sort_values(["tf", "gene", "region"], ignore_index=True)
    frame.index = frame.index.astype(str)
    return frame
