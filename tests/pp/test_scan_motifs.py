"""Motif hits from genome files and motif files: real peaks, planted motifs, wrong input."""

from __future__ import annotations

import gzip
import logging
import struct

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc.priors._sequence import chromosomes

LETTERS = "ACGTN"


@pytest.fixture
def simulated(toy):
    """Cells, their genome and their motifs."""
    motifs = toy["atac"].uns["motifs"]
    pwm = dict(zip(motifs["tfs"], motifs["pwm"].transpose(0, 2, 1) * 1e6, strict=True))
    return toy, grs.datasets.simulated_genome(toy), pwm


def fasta(genome: dict[str, str], width: int = 61) -> str:
    lines = (
        f">{name} some words\n" + "\n".join(s[i : i + width] for i in range(0, len(s), width))
        for name, s in genome.items()
    )
    return "\n".join(lines) + "\n"


def two_bit(genome: dict[str, str], order: str = "<") -> bytes:
    """Header, index, then per sequence: size, blocks of N, no masks, packed letters."""
    records = []
    for text in genome.values():
        upper = text.upper()
        runs = [i for i, c in enumerate(upper) if c == "N" and (i == 0 or upper[i - 1] != "N")]
        sizes = [next((j for j in range(i, len(upper)) if upper[j] != "N"), len(upper)) - i for i in runs]
        codes = ["TCAG".index(c) if c != "N" else 0 for c in upper] + [0] * (-len(upper) % 4)
        packed = bytes(
            codes[i] << 6 | codes[i + 1] << 4 | codes[i + 2] << 2 | codes[i + 3] for i in range(0, len(codes), 4)
        )
        head = struct.pack(f"{order}2I", len(text), len(runs)) + struct.pack(f"{order}{2 * len(runs)}I", *runs, *sizes)
        records.append(head + struct.pack(f"{order}2I", 0, 0) + packed)
    place = 16 + sum(5 + len(name) for name in genome)
    index = b""
    for name, record in zip(genome, records, strict=True):
        index += bytes([len(name)]) + name.encode() + struct.pack(f"{order}I", place)
        place += len(record)
    return struct.pack(f"{order}4I", 0x1A412743, 0, len(genome), 0) + index + b"".join(records)


def test_every_kind_of_genome_file_gives_the_same_letters(tmp_path):
    rng = np.random.default_rng(0)
    genome = {name: "".join(rng.choice(list("ACGTacgtNn"), size)) for name, size in (("chr1", 997), ("chrX", 404))}
    expected = {name: [LETTERS.index(c) for c in text.upper()] for name, text in genome.items()}
    text = fasta(genome)
    (tmp_path / "g.fa").write_text(text)
    (tmp_path / "crlf.fa").write_bytes(text.replace("\n", "\r\n").encode())
    (tmp_path / "g.fa.gz").write_bytes(gzip.compress(text.encode()))
    for order, name in (("<", "g.2bit"), (">", "big.2bit")):
        (tmp_path / name).write_bytes(two_bit(genome, order))
    files = [tmp_path / name for name in ("g.fa", "crlf.fa", "g.fa.gz", "g.2bit", "big.2bit")]
    for source in (genome, {k: v.encode() for k, v in genome.items()}, *files):
        seen = []
        found = {name: codes.tolist() for name, codes in chromosomes(source, {"chr1", "chrX"}, seen)}
        assert found == expected
        assert seen == ["chr1", "chrX"]
        assert [name for name, _ in chromosomes(source, {"chrX"}, [])] == ["chrX"]


def test_the_simulator_agrees(simulated, tmp_path):
    """Its own exact scan rounds scores to 1/50 bit; hits near the threshold may differ, the others not."""
    mdata, genome, pwm = simulated
    planted = mdata["atac"].varm["motifs"].toarray()
    (tmp_path / "g.fa").write_text(fasta(genome))
    grs.pp.scan_motifs(mdata, genome=tmp_path / "g.fa", motifs=pwm, background="uniform", pseudocount=1e-3)
    found = mdata["atac"].varm["motifs"].toarray()
    both = (planted > 0) & (found > 0)
    assert both.sum() > 0.97 * max((planted > 0).sum(), (found > 0).sum())
    np.testing.assert_allclose(found[both], planted[both], atol=0.12)
    grs.tl.build_grn(mdata, groupby="cell_type")
    assert set(mdata["rna"].uns["grn"]["edges"]["evidence"]) == {"direct"}


def test_the_slots_say_what_was_done(simulated):
    mdata, genome, pwm = simulated
    mdata["atac"].varm["motifs_extended"] = mdata["atac"].varm["motifs"].copy()
    grs.pp.scan_motifs(mdata, genome=genome, motifs=pwm)
    stored = mdata["atac"].uns["motifs"]
    table = stored["matrices"]
    assert list(stored["tfs"]) == sorted(pwm)
    assert stored["params"]["pvalue"] == 5e-5
    assert np.asarray(stored["params"]["background"]).sum() == pytest.approx(1)
    np.testing.assert_array_equal(
        table["n_regions"],
        (mdata["atac"].varm["motifs"] > 0).sum(axis=0).A1[pd.Index(stored["tfs"]).get_indexer(table["tfs"])],
    )
    assert (table["length"] == 10).all()
    assert "motifs_extended" not in mdata["atac"].varm
    assert mdata["atac"].varm["motifs"].dtype == np.float32


def test_threads_and_stored_parts_play_no_part(simulated, tmp_path):
    mdata, genome, pwm = simulated
    options = {"genome": genome, "motifs": pwm, "copy": True}
    one = grs.pp.scan_motifs(mdata, n_jobs=1, **options)
    kept = grs.pp.scan_motifs(mdata, n_jobs=2, resume=tmp_path, **options)
    files = list(tmp_path.glob("motifs-*.npy"))
    again = grs.pp.scan_motifs(mdata, resume=tmp_path, **options)
    assert len(files) == len(list(tmp_path.glob("*.npy"))) == len(genome)
    for other in (kept, again):
        assert (one["atac"].varm["motifs"] != other["atac"].varm["motifs"]).nnz == 0


def regions_of(genome: dict[str, str], names: list[str] | None = None) -> ad.AnnData:
    names = names or [f"{name}:0-{len(text)}" for name, text in genome.items()]
    return ad.AnnData(sp.csr_matrix((2, len(names)), dtype=np.float32), var=pd.DataFrame(index=names))


@pytest.mark.realdata
def test_ctcf_peaks_have_ctcf_hits_and_shuffled_ones_do_not(data_dir):
    folder = data_dir / "regulatory_resources"
    text = gzip.decompress((folder / "ctcf_gm12878_top500_hg19_200bp.fa.gz").read_bytes()).decode()
    peaks = {f"peak{i}": "".join(part.splitlines()[1:]) for i, part in enumerate(text.split(">")[1:])}
    rng = np.random.default_rng(0)
    mixed = {name: "".join(rng.permutation(list(letters))) for name, letters in peaks.items()}
    share = []
    for genome in (peaks, mixed):
        atac = regions_of(genome)
        grs.pp.scan_motifs(atac, genome=genome, motifs=folder / "JASPAR2022_CORE_vertebrates.meme.gz")
        hits = atac.varm["motifs"][:, list(atac.uns["motifs"]["tfs"]).index("CTCF")]
        share.append((hits > 0).mean())
        table = atac.uns["motifs"]["matrices"]
    assert share[0] >= 0.95
    n_motifs = int((table["tfs"] == "CTCF").sum())
    expected = 1 - (1 - 5e-5) ** (2 * n_motifs * (200 - 19))
    assert share[1] <= expected + 3 * np.sqrt(expected / 500)


@pytest.mark.realdata
def test_published_motif_files_are_read(data_dir):
    folder = data_dir / "regulatory_resources"
    human = grs.priors.read_motifs(folder / "HOCOMOCOv11_core_HUMAN.meme.gz")
    assert len(human) == 401
    assert human[0].tfs == ("AHR",)
    gimme = grs.priors.read_motifs(
        folder / "gimme_vertebrate_v5.meme.gz", mapping=folder / "gimme_vertebrate_v5_motif2factors.tsv.gz"
    )
    assert len(gimme) == 1796
    assert {"SRY", "SOX9"} <= set(gimme[0].tfs)
    jaspar = grs.priors.read_motifs(folder / "JASPAR2022_CORE_vertebrates.meme.gz")
    packaged = {m.name: m for m in grs.priors.read_motifs("JASPAR2022")}
    assert len(jaspar) == 838
    for motif in jaspar[:50]:
        known = packaged[motif.name].counts
        np.testing.assert_allclose(motif.counts / motif.counts.sum(axis=0), known / known.sum(axis=0), atol=2e-3)


class TestMotifs:
    """Collections."""

    def test_releases_of_jaspar(self):
        new, old = (grs.priors.read_motifs(name) for name in ("JASPAR2024", "JASPAR2022"))
        assert len(new) == 879
        assert len(old) < len(new)
        assert ("FOSB", "JUN") in {motif.tfs for motif in new}
        assert len(grs.priors.read_motifs("JASPAR2024", tax_group="insects")) != len(new)

    @pytest.mark.parametrize(
        ("name", "group", "text"),
        [("JASPAR1999", "vertebrates", "release must be one of"), ("JASPAR2024", "dragons", "taxonomic group")],
    )
    def test_unknown_releases_and_groups_are_named(self, name, group, text):
        with pytest.raises(ValueError, match=text):
            grs.priors.read_motifs(name, tax_group=group)

    def test_jaspar_and_pfm_files(self, tmp_path):
        counts = np.array([[4, 19, 0], [16, 0, 20], [0, 1, 0], [0, 0, 0]])
        rows = [" ".join(map(str, row)) for row in counts]
        (tmp_path / "a.jaspar").write_text(
            ">MA1.1\tFOS::JUN\n" + "".join(f"{b}  [ {r} ]\n" for b, r in zip("ACGT", rows, strict=True))
        )
        (tmp_path / "a.pfm").write_text(">MA1.1 FOS::JUN(var.2)\n" + "\n".join(rows) + "\n")
        for name in ("a.jaspar", "a.pfm"):
            (motif,) = grs.priors.read_motifs(tmp_path / name)
            assert motif.tfs == ("FOS", "JUN")
            np.testing.assert_array_equal(motif.counts, counts)

    def test_broken_matrices_are_named(self, tmp_path):
        (tmp_path / "a.pfm").write_text(">bad\n1 2\n3 4\n5 6\n")
        with pytest.raises(ValueError, match=r"four rows of equal length.*\[2, 2, 2\] numbers in bad"):
            grs.priors.read_motifs(tmp_path / "a.pfm")
        with pytest.raises(ValueError, match="matrix of 4 rows"):
            grs.priors.read_motifs({"X": np.ones((3, 4))})
        with pytest.raises(FileNotFoundError, match="motif file must exist"):
            grs.priors.read_motifs(tmp_path / "none.meme")


class TestWrongInput:
    """Named errors; nothing is written."""

    def test_chromosomes_of_another_naming(self, simulated):
        mdata, genome, pwm = simulated
        before = mdata["atac"].varm["motifs"].copy()
        with pytest.raises(ValueError, match=r"share chromosome names. Found: regions \[chr1.*genome \[1"):
            grs.pp.scan_motifs(mdata, genome={k.removeprefix("chr"): v for k, v in genome.items()}, motifs=pwm)
        assert (mdata["atac"].varm["motifs"] != before).nnz == 0

    def test_another_build(self, simulated):
        mdata, genome, pwm = simulated
        with pytest.raises(ValueError, match=r"within their chromosome.*genome build"):
            grs.pp.scan_motifs(mdata, genome={k: v[:5000] for k, v in genome.items()}, motifs=pwm)

    def test_a_missing_chromosome_is_counted(self, simulated, caplog):
        mdata, genome, pwm = simulated
        lost = sorted(genome)[0]
        rest = {k: v for k, v in genome.items() if k != lost}
        with caplog.at_level(logging.WARNING):
            grs.pp.scan_motifs(mdata, genome=rest, motifs=pwm)
        of_lost = mdata["atac"].var["chrom"].to_numpy() == lost
        assert f"chromosomes without sequence, whose regions get no hits: [{lost}]" in caplog.text
        assert mdata["atac"].varm["motifs"][of_lost].nnz == 0
        assert mdata["atac"].varm["motifs"][~of_lost].nnz > 0
        assert mdata["atac"].uns["motifs"]["params"]["dropped"]["regions_without_sequence"] == of_lost.sum()

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            ({"motifs": {"NOT_A_GENE": np.eye(4)}}, "at least one motif must belong to a gene"),
            ({"background": "x"}, "background is 'regions'"), ({"background": [1, 0, 0, 0]}, "four positive probabilities"),
            ({"pvalue": 0}, "pvalue must lie in"),
        ],
    )  # fmt: skip
    def test_options(self, simulated, option, text):
        mdata, genome, pwm = simulated
        with pytest.raises(ValueError, match=text):
            grs.pp.scan_motifs(mdata, **{"genome": genome, "motifs": pwm, **option})

    def test_files_that_are_no_genome(self, simulated, tmp_path):
        mdata, _, pwm = simulated
        with pytest.raises(FileNotFoundError, match="genome file must exist"):
            grs.pp.scan_motifs(mdata, genome=tmp_path / "none.fa", motifs=pwm)
        (tmp_path / "x.fai").write_text("chr1\t100\n")
        with pytest.raises(ValueError, match=r"FASTA or .2bit file.*x.fai"):
            grs.pp.scan_motifs(mdata, genome=tmp_path / "x.fai", motifs=pwm)
