"""`pp.scan_motifs`: motif hits of TFs in regions, from sequence."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checkpoint import Checkpoint
from .._core.checks import fail, listing, need_between
from .._core.inputs import copy_of, resolve
from .._core.keys import MOTIFS, MOTIFS_EXTENDED
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.settings import resolve_jobs
from .._core.tables import by_upper
from ..grn.motifs import PSEUDOCOUNT, best_of_tfs, index_motifs, log_odds, scan_sequences, score_threshold
from ..grn.region_gene import parse_regions
from ..priors import read_motifs
from ..priors._motifs import Motif
from ._region_letters import background_of, region_letters

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

PVALUE = 5e-5
LEAST_SCORE = 0.01  # bits: a hit is likelier under the motif than under the background, whatever its p-value


def scan_motifs(
    data: Any,
    *,
    genome: str | Path | Mapping[str, Any],
    motifs: str | Path | Mapping[str, np.ndarray] = "JASPAR2024",
    tax_group: str = "vertebrates",
    mapping: pd.DataFrame | str | Path | None = None,
    pvalue: float = PVALUE,
    background: str | Sequence[float] = "regions",
    pseudocount: float = PSEUDOCOUNT,
    rna: str = "rna",
    atac: str = "atac",
    n_jobs: int | None = None,
    resume: bool | str | Path = False,
    copy: bool = False,
) -> Any:
    """Find the motif hits of TFs in the sequences of regions.

    Both strands of every region are scanned with every motif. A hit is a place whose log-odds (motif against background,
    in bits) is reached by random sequence with at most `pvalue`, and is above 0; the best hit of any motif of a TF counts.
    A letter other than ACGT breaks a hit; lower case counts as sequence. The genome is read one chromosome at a time.

    Parameters
    ----------
    data
        MuData, pair (rna, atac), or the ATAC AnnData; regions are named chrom:start-end (0-based, end left out).
    genome
        Sequence of the genome: FASTA (plain or .gz) or .2bit file, or a mapping from chromosome names to text.
    motifs
        Collection, as `grs.priors.read_motifs` reads it: a JASPAR release (needs `pyjaspar`), a MEME, JASPAR or PFM file, or
        matrices by name.
    tax_group
        Taxonomic group of a JASPAR release.
    mapping
        Table motif -> TF, where names of motifs are not those of TFs.
    pvalue
        Chance of a hit at one place of random sequence, per motif and strand.
    background
        `"regions"` (the letters of the regions, both strands), `"uniform"`, or probabilities of A, C, G, T.
    pseudocount
        Added to the counts of a motif's column, shared out like the background.
    rna, atac
        Names of the modalities.
    n_jobs
        Threads; the hits do not depend on them.
    resume
        Keep the hits of every chromosome by a hash of its letters and of the motifs, so that a scan that was stopped or
        is repeated reads them: `True` below `grs.settings.cache_dir`, or a folder.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets:

    `atac.varm["motifs"]` : CSR float32 regions x TFs, log-odds (bits) of the best hit, 0 where there is none
    `atac.uns["motifs"]` : `tfs` (names), `source`, `params`, and `matrices`, a table with one row per motif: `motif`, `tfs`,
    `length` (bp), `threshold` (bits; infinite where no sequence is so rare), `n_regions` with a hit

    Raises
    ------
    FileNotFoundError
        The genome or motif file does not exist.
    ImportError
        A JASPAR release is asked for and `pyjaspar` is not installed.
    ValueError
        Region names cannot be read, no chromosome is in the genome, regions lie beyond their chromosome, or no motif
        belongs to a gene of the data.

    See Also
    --------
    grnformer_sc.tl.build_grn : takes the hits as evidence.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(60, n_genes=40, n_tfs=6, n_types=2, rng=0)
    >>> genome = grs.datasets.simulated_genome(mdata)
    >>> pwm = dict(zip(mdata["atac"].uns["motifs"]["tfs"], mdata["atac"].uns["motifs"]["pwm"].transpose(0, 2, 1)))
    >>> grs.pp.scan_motifs(mdata, genome=genome, motifs=pwm, background="uniform")
    >>> mdata["atac"].varm["motifs"].shape == (mdata["atac"].n_vars, 6)
    True
    """
    need_between(pvalue, 1e-12, 0.1, name="pvalue")
    need_between(pseudocount, 1e-6, 1e6, name="pseudocount")
    data = copy_of(data) if copy else data
    rna_data, target = _modalities(data, rna, atac)
    collection = read_motifs(motifs, tax_group=tax_group, mapping=mapping)
    tfs, pairs = _tf_columns(collection, None if rna_data is None else rna_data.var_names)
    regions = parse_regions(target.var_names)
    with step(logger, "scan_motifs") as facts:
        base = background_of(background, genome, regions)
        scores = [log_odds(motif.counts, base, pseudocount) for motif in collection]
        cut = np.array([max(score_threshold(score, base, pvalue), LEAST_SCORE) for score in scores])
        kept = Checkpoint.resuming("scan_motifs", resume=resume)
        hits, n_missing = _scan(genome, regions, scores, cut, kept, resolve_jobs(n_jobs))
        facts.append(f"{len(collection)} motifs of {len(tfs)} TFs in {len(regions)} regions: {hits.nnz} hits of motifs")
    table = pd.DataFrame(
        {
            "motif": [motif.name for motif in collection], "tfs": [", ".join(motif.tfs) for motif in collection],
            "length": [motif.counts.shape[1] for motif in collection], "threshold": cut,
            "n_regions": np.bincount(hits.indices, minlength=len(collection)),
        },
        index=pd.RangeIndex(len(collection)).astype(str),
    )  # fmt: skip
    source = motifs if isinstance(motifs, str) else motifs.name if isinstance(motifs, Path) else "matrices"
    params = {"pvalue": pvalue, "background": base, "pseudocount": pseudocount, "tax_group": tax_group}
    record = recipe("scan_motifs", params, inputs={}, dropped={"regions_without_sequence": n_missing})
    out = Results(stale=[("varm", MOTIFS_EXTENDED)])  # of another collection
    out.varm[MOTIFS] = best_of_tfs(hits, pairs["motif"].to_numpy(), pairs["tf"].to_numpy(), len(tfs))
    out.uns[MOTIFS] = {"tfs": np.array(tfs, dtype=object), "source": source, "params": record, "matrices": table}
    out.write(target)
    return data if copy else None


def _scan(
    genome: str | Path | Mapping[str, Any],
    regions: pd.DataFrame,
    scores: list[np.ndarray],
    cut: np.ndarray,
    kept: Checkpoint,
    n_jobs: int,
) -> tuple[sp.csr_matrix, int]:
    """Hits of all motifs (regions x motifs), chromosome by chromosome, and the number of regions without sequence."""
    index = index_motifs(scores, cut)
    rows, columns, values, n_found = [], [], [], 0
    for own, letters, start in region_letters(genome, regions):

        def make(letters: np.ndarray = letters, start: np.ndarray = start) -> np.ndarray:
            found = scan_sequences(letters, start, index, n_jobs=n_jobs).tocoo()
            return np.stack([found.row.astype(np.float64), found.col.astype(np.float64), found.data.astype(np.float64)])

        row, column, value = kept.of("motifs", letters, start, cut, *scores).keep("hits", make)
        rows.append(own[row.astype(np.int64)])
        columns.append(column.astype(np.int64))
        values.append(value.astype(np.float32))
        n_found += own.size
    place = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_matrix((np.concatenate(values), place), (len(regions), len(scores))), len(regions) - n_found


def _modalities(data: Any, rna: str, atac: str) -> tuple[AnnData | None, AnnData]:
    """RNA, where there is one, and the ATAC that is written to."""
    first, second = resolve(data, rna, atac)
    if second is None and hasattr(data, "mod"):
        raise fail(
            KeyError, f"scan_motifs needs the modality {atac!r}.", f"{listing(data.mod)}.", "name it with atac='...'."
        )
    if second is None:
        return None, first
    return first, data.mod[atac] if hasattr(data, "mod") else data[1]


def _tf_columns(collection: list[Motif], genes: pd.Index | None) -> tuple[list[str], pd.DataFrame]:
    """TFs of the collection (sorted; letter case aside each once, as the genes spell it), and the pairs motif, TF."""
    spelled = {} if genes is None else by_upper(genes)
    table = pd.DataFrame(
        [(number, tf) for number, motif in enumerate(collection) for tf in motif.tfs], columns=["motif", "tf"]
    )
    first = by_upper(table["tf"])
    table["tf"] = [spelled.get(tf.upper(), first[tf.upper()]) for tf in table["tf"]]
    table = table.drop_duplicates()
    tfs = sorted(set(table["tf"]))
    if genes is not None:
        known = [tf for tf in tfs if tf.upper() in spelled]
        if not known:
            raise fail(
                ValueError, "at least one motif must belong to a gene of the data.",
                f"TFs {listing(tfs, 5)}, genes {listing(genes, 5)}.",
                "use motifs of the species with the kind of names in var_names, or pass mapping=.",
            )  # fmt: skip
        logger.info("scan_motifs: %d of %d TFs are genes of the data", len(known), len(tfs))
    return tfs, table.assign(tf=pd.Index(tfs).get_indexer(table["tf"]))
