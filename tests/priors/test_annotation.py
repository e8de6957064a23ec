"""Gene positions are the same whatever the form they come in."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

import grnformer_sc as grs

# one truth, 0-based and half open, in every format
TRUTH = pd.DataFrame(
    {"chrom": ["chr1", "chr1", "chrX"], "start": [99, 500, 0], "end": [200, 900, 50], "strand": ["+", "-", "+"]},
    index=pd.Index(["Alpha", "Beta", "Gamma"], name="gene"),
)
TRUTH["tss"] = [99, 900, 0]


def gtf(feature="gene"):
    lines = ["#!genome-build X"]
    for i, (gene, row) in enumerate(TRUTH.iterrows()):
        text = f'gene_id "ENSG0000{i}.{i + 3}"; gene_type "x"; gene_name "{gene}"; havana_gene "OTT{i}";'
        lines.append(
            "\t".join([row.chrom, "src", feature, str(row.start + 1), str(row.end), ".", row.strand, ".", text])
        )
        lines.append(
            "\t".join([row.chrom, "src", "exon", str(row.start + 1), str(row.start + 2), ".", row.strand, ".", text])
        )
    return "\n".join(lines)


def gff3():
    lines = ["##gff-version 3"]
    for gene, row in TRUTH.iterrows():
        text = f"ID=gene:ENS_{gene};Name={gene};biotype=x"
        lines.append(
            "\t".join([row.chrom, "src", "gene", str(row.start + 1), str(row.end), ".", row.strand, ".", text])
        )
    return "\n".join(lines)


def bed(order=("gene", "score", "strand"), head=""):
    lines = [head] if head else []
    for gene, row in TRUTH.iterrows():
        rest = {"gene": gene, "score": "0", "strand": row.strand, "id": "ENS1"}
        lines.append("\t".join([row.chrom, str(row.start), str(row.end), *(rest[name] for name in order)]))
    return "\n".join(lines)


FILES = {
    "a.gtf": gtf(),
    "transcripts.gtf": gtf("transcript"),
    "a.gff3": gff3(),
    "bed6.bed": bed(),
    "short.bed": bed(("gene", "strand")),
    "late.bed": bed(("strand", "gene")),
    "header.bed": bed(("gene", "score", "strand", "id"), "#chr\tstart\tend\tname\tscore\tstrand\tid"),
    "named.bed": bed(("gene", "strand"), "chrom\tstart\tend\tname\tstrand"),
    "track.bed": bed(("gene", "strand"), 'track name="x y"'),
    "spaces.bed": bed(("gene", "strand")).replace("\t", "  "),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_table(tmp_path, name, packed):
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(FILES[name].encode()) if packed else FILES[name].encode())
    pd.testing.assert_frame_equal(grs.priors.gene_annotation(path), TRUTH)


def test_tables_with_other_column_names_or_gene_index():
    want = TRUTH
    pd.testing.assert_frame_equal(grs.priors.gene_annotation(want), want)
    other = want.reset_index().rename(
        columns={"gene": "gene_name", "chrom": "Chromosome", "start": "Start", "end": "End"}
    )
    pd.testing.assert_frame_equal(grs.priors.gene_annotation(other), want)


def test_ids_lose_their_version(tmp_path):
    path = tmp_path / "a.gtf"
    path.write_text(gtf())
    assert grs.priors.gene_annotation(path, names="id").index.tolist() == ["ENSG00000", "ENSG00001", "ENSG00002"]


def test_main_chromosomes_then_length_decide_between_entries(caplog):
    rows = [
        ("A", "chr1_alt", 0, 999, "+"),
        ("A", "chr1", 0, 10, "+"),
        ("A", "chr1", 5, 30, "-"),
        ("A", "chr2", 0, 25, "+"),
    ]
    table = pd.DataFrame([*rows, ("B", "", 0, 1, "+"), ("C", "chr1", 2, 4, ".")], columns=["gene", *TRUTH.columns[:4]])
    with caplog.at_level("INFO"):
        got = grs.priors.gene_annotation(table)
    assert got.index.tolist() == ["A", "C"]
    assert got.loc["A"].tolist() == ["chr1", 5, 30, "-", 30]
    assert got.loc["C", "strand"] == "+"
    assert "3 of 5 entries repeat" in caplog.text
    assert "1 genes without a strand" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("x.bed", "chr1\t1\t5\tA\n", "BED with gene names"),
        ("x.bed", "", "0 rows"),
        ("x.gtf", "chr1\ts\tgene\t1\t5\t.\t+\t.\tnote\n", "must name genes"),
        ("x.gtf", "", "must name genes"),
        ("x.bed", "chr1\t9\t5\tA\t+\n", "start <= end"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, match):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        grs.priors.gene_annotation(path)


def test_missing_file_and_columns():
    with pytest.raises(FileNotFoundError, match="annotation file must exist"):
        grs.priors.gene_annotation("nowhere.gtf")
    with pytest.raises(ValueError, match=r"without \['strand'\]"):
        grs.priors.gene_annotation(TRUTH[["chrom", "start", "end"]])
    with pytest.raises((ValueError, TypeError), match="names"):
        grs.priors.gene_annotation(TRUTH, names="other")


@pytest.mark.realdata
def test_real_files(data_dir):
    folder = data_dir / "regulatory_resources"
    genes = grs.priors.gene_annotation(folder / "raw" / "mm10_genes.bed")
    assert genes.shape == (35_976, 5)
    assert genes.loc["Gad1", ["chrom", "strand"]].tolist() == ["chr2", "+"]
    headed = grs.priors.gene_annotation(folder / "hg38_gencode43_tss500bp.bed.gz")
    assert headed.loc["GAD1", "chrom"] == "chr2"
