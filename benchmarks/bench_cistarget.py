"""Motif evidence from a cisTarget database on disk, and differential regions: seconds and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from race import run

N_MOTIFS, N_REGIONS, OWN, N_SETS, SIZE = 1000, 200_000, 60_000, 10, 3000
WHAT = f"cisTarget, {N_MOTIFS} motifs x {N_REGIONS:,} regions, {N_SETS} sets of {SIZE}, 1 thread"


def names() -> list[str]:
    return [f"chr1:{i * 500}-{i * 500 + 400}" for i in range(N_REGIONS)]


def sets() -> dict[str, list[str]]:
    rng, known = np.random.default_rng(1), np.array(names()[:OWN])
    return {f"set{i}": rng.choice(known, SIZE, replace=False).tolist() for i in range(N_SETS)}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A rankings file of 0.8 GB: random ranks, and one motif per set that prefers its regions."""
    import pyarrow as pa
    import pyarrow.feather

    rng = np.random.default_rng(0)
    ranks = np.empty((N_MOTIFS, N_REGIONS), np.int32)
    place = pd.Index(names())
    for m in range(N_MOTIFS):
        ranks[m, rng.permutation(N_REGIONS)] = np.arange(N_REGIONS, dtype=np.int32)
    for m, regions in enumerate(sets().values()):
        order = np.argsort(~np.isin(np.arange(N_REGIONS), place.get_indexer(regions)) + 1.02 * rng.random(N_REGIONS))
        ranks[m, order] = np.arange(N_REGIONS, dtype=np.int32)
    path = tmp_path_factory.mktemp("cistarget") / "x.regions_vs_motifs.rankings.feather"
    columns = [pa.array(column) for column in np.ascontiguousarray(ranks.T)]
    motifs = pa.array([f"m{m}" for m in range(N_MOTIFS)])
    pyarrow.feather.write_feather(pa.Table.from_arrays([*columns, motifs], names=[*place, "motifs"]), path)
    del ranks, columns
    yield str(path)
    Path(path).unlink()


def ours(path: str) -> Callable[[], Any]:
    from anndata import AnnData

    import grnformer_sc as grs

    atac = AnnData(sp.csr_matrix((1, OWN), dtype=np.float32), var=pd.DataFrame(index=names()[:OWN]))
    table = pd.DataFrame(
        {
            "#motif_id": [f"m{m}" for m in range(N_MOTIFS)], "gene_name": [f"TF{m // 3}" for m in range(N_MOTIFS)],
            "motif_similarity_qvalue": 0.0, "orthologous_identity": 1.0, "description": "gene is directly annotated",
        }
    )  # fmt: skip
    given = sets()

    def call() -> pd.Series:
        grs.pp.read_cistarget(atac, path, annotations=table, region_sets=given)
        found = grs.get.motif_enrichment(atac)
        return found.set_index(["region_set", "motif"])["nes"].sort_index()

    return call


def plain(path: str) -> Callable[[], Any]:
    """The formulas with one recovery curve per motif and set, on the columns of the sets read by pandas."""
    given = sets()
    area, last = round(0.005 * N_REGIONS) - 1, int(0.05 * N_REGIONS)

    def call() -> pd.Series:
        needed = sorted(set().union(*given.values()))
        frame = pd.read_feather(path, columns=[*needed, "motifs"]).set_index("motifs")
        out = {}
        for name, regions in given.items():
            ranks = frame[regions].to_numpy()
            curves = np.empty((N_MOTIFS, last + 1), np.float32)
            for m in range(N_MOTIFS):
                curves[m] = np.cumsum(np.bincount(ranks[m][ranks[m] <= last], minlength=last + 1))
            auc = curves[:, :area].sum(axis=1, dtype=float) / ((area + 1) * len(regions))
            usual = curves.mean(axis=0) + 2 * curves.std(axis=0)
            nes = (auc - auc.mean()) / auc.std()
            for m in np.flatnonzero(nes >= 3):
                _ = ranks[m] <= np.argmax(curves[m] - usual)
                out[name, frame.index[m]] = nes[m]
        return pd.Series(out).sort_index()

    return call


def bench_cistarget(record: Callable[..., None], database: str) -> None:
    size_mb = Path(database).stat().st_size / 2**20
    laps = {"grnformer_sc": run(ours, database, repeats=2), "pandas, numpy": run(plain, database, repeats=2)}
    found = laps["grnformer_sc"].result
    np.testing.assert_allclose(found, laps["pandas, numpy"].result.loc[found.index], rtol=1e-6)
    for who, lap in laps.items():
        record(WHAT, who, **lap.row(), file_mb=size_mb)
    assert laps["grnformer_sc"].extra_mb < size_mb


def cells() -> tuple[sp.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(0)
    rate = rng.lognormal(-3.5, 1, 30_000)
    blocks = [sp.csr_matrix(rng.random((500, rate.size)) < rate, dtype=np.float32) for _ in range(20)]
    return sp.vstack(blocks, "csr"), rng.integers(0, 10, 10_000)


def differential() -> Callable[[], Any]:
    from anndata import AnnData

    import grnformer_sc as grs

    x, codes = cells()
    atac = AnnData(
        x, obs=pd.DataFrame({"group": pd.Categorical(codes.astype(str))}, index=np.arange(len(codes)).astype(str))
    )
    return lambda: grs.pp.differential_regions(atac, "group")


def wilcoxon() -> Callable[[], Any]:
    import scanpy as sc
    from anndata import AnnData

    x, codes = cells()
    atac = AnnData(
        x, obs=pd.DataFrame({"group": pd.Categorical(codes.astype(str))}, index=np.arange(len(codes)).astype(str))
    )
    return lambda: sc.tl.rank_genes_groups(atac, "group", method="wilcoxon")


def bench_differential(record: Callable[..., None]) -> None:
    what = "differential regions, 10,000 cells x 30,000 regions, 10 groups, 1 thread"
    mine, theirs = run(differential, repeats=2), run(wilcoxon, repeats=1)
    record(what, "grnformer_sc", **mine.row())
    record(what, "scanpy (Wilcoxon)", **theirs.row())
    assert mine.cpu_s < theirs.cpu_s
