"""A small cisTarget database made from a simulated multiome: its regions among others, its motifs among decoys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DIRECT = "gene is directly annotated"
SHIFT = 40  # bp by which database regions are off the regions of the data
OTHERS = 4000  # regions elsewhere


def write_database(folder: Path, atac: Any, *, n_decoys: int = 100, seed: int = 0) -> dict[str, Any]:
    """Write rankings, scores and annotation; motif `m_X` scores as TF X does in `varm["motifs"]`, decoys at random."""
    rng = np.random.default_rng(seed)
    tfs = np.asarray(atac.uns["motifs"]["tfs"]).astype(str)
    own = atac.varm["motifs"].toarray().T.astype(np.float32)
    decoys = np.stack([rng.permutation(own[i % len(own)]) for i in range(n_decoys)])
    near = np.concatenate([own, decoys])
    far = np.stack([rng.choice(row, OTHERS) for row in near])
    scores = np.concatenate([near, far], axis=1)
    names = [shifted(name) for name in atac.var_names] + [
        f"chrOther:{i * 1000}-{i * 1000 + 500}" for i in range(OTHERS)
    ]
    motifs = np.array([f"m_{tf}" for tf in tfs] + [f"decoy{i}" for i in range(n_decoys)])
    order = np.argsort(-(scores + 1e-3 * rng.random(scores.shape)), axis=1)
    ranks = np.empty(scores.shape, np.int32)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(scores.shape[1], dtype=np.int32), ranks.shape), axis=1)
    out = {"annotations": write_annotation(folder / "motifs.tbl", motifs[: len(tfs)], tfs)}
    for kind, values in (("rankings", ranks), ("scores", scores)):
        out[kind] = folder / f"toy.regions_vs_motifs.{kind}.feather"
        pd.DataFrame(values, columns=names).assign(motifs=motifs).to_feather(out[kind])
    return out


def shifted(name: str) -> str:
    chrom, place = name.split(":")
    start, end = (int(part) + SHIFT for part in place.split("-"))
    return f"{chrom}:{start}-{end}"


def write_annotation(path: Path, motifs: Any, tfs: Any, description: Any = DIRECT) -> Path:
    """Write a motif-to-TF table with the columns of the public ones that are read, and one that is not."""
    table = {
        "#motif_id": motifs, "motif_name": motifs, "gene_name": tfs, "motif_similarity_qvalue": 0.0,
        "orthologous_identity": 1.0, "description": description,
    }  # fmt: skip
    pd.DataFrame(table).to_csv(path, sep="\t", index=False)
    return path


def sets_of_truth(mdata: Any, seed: int = 0) -> dict[str, list[str]]:
    """One set per TF, as topics may be: the regions it binds among as many others."""
    rng = np.random.default_rng(seed)
    truth, names = mdata["rna"].uns["truth"], mdata["atac"].var_names
    bound = truth.groupby("tf")["region"].unique()
    return {tf: sorted({*regions, *rng.choice(names, len(regions), replace=False)}) for tf, regions in bound.items()}
