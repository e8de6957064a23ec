"""Tables of other tools, brought into the columns of the edge table."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from .._core.tables import EDGE_COLUMNS, EVIDENCE, spell_regions
from ._base_grn import PLACE, links_of_frame
from ._networks import long_columns, prior_network
from ._regulon_names import parse_regulon

NUMPY_NUMBER = re.compile(r"np\.float\d+\(([^()]*)\)")  # how numpy 2 prints a number inside a list
EARLIER = {  # names of SCENIC+ before version 1
    "R2G_importance": "importance_R2G", "R2G_rho": "rho_R2G", "TF2G_importance": "importance_TF2G",
    "TF2G_rho": "rho_TF2G", "TF2G_regulation": "regulation",
}  # fmt: skip


def read_edges(table: pd.DataFrame) -> pd.DataFrame:
    """Our own edge table (`get.grn`)."""
    out = table[[name for name in EDGE_COLUMNS if name in table]].copy()
    for name in out.columns.intersection([n for n, kind in EDGE_COLUMNS.items() if kind != "category"]):
        numbers = pd.to_numeric(out[name], errors="coerce")
        out[name] = numbers.fillna(0) if EDGE_COLUMNS[name].startswith("int") else numbers
    evidence = out["evidence"].astype(str) if "evidence" in out else pd.Series("none", index=out.index)
    return out.assign(evidence=evidence.where(evidence.isin(EVIDENCE), "none"))


def read_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Our own table without regions (`get.network`), also as a graph."""
    out = pd.DataFrame({"tf": table["tf"], "gene": table["gene"], "eregulon": table["eregulon"].astype(str)})
    weight = pd.to_numeric(table["weight"], errors="coerce")
    state = {name: parse_regulon(name).region_sign for name in out["eregulon"].unique()}
    return out.assign(
        tf_gene_importance=weight.abs(), sign=np.sign(weight), region_sign=out["eregulon"].map(state), evidence="prior"
    )


def read_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """TF-gene pairs in any form that `prior_network` reads."""
    net = prior_network(table)
    return pd.DataFrame({"tf": net["tf"], "gene": net["gene"], **_signed(net["weight"])})


def read_greta(table: pd.DataFrame) -> pd.DataFrame:
    """GRETA: `source, cre, target` and mostly `score`."""
    weight = pd.to_numeric(table["score"], errors="coerce") if "score" in table else pd.Series(1.0, index=table.index)
    names = {"tf": table["source"], "gene": table["target"], "region": spell_regions(table["cre"])}
    return pd.DataFrame({**names, **_signed(weight)})


def _signed(weight: pd.Series) -> dict[str, object]:
    return {"tf_gene_importance": weight.abs(), "sign": np.sign(weight), "evidence": "prior"}


def read_scenicplus(table: pd.DataFrame) -> pd.DataFrame:
    """SCENIC+: signs from the name of the eRegulon, or from the correlations where it has none."""
    table = table.rename(columns=EARLIER)
    column = next((n for n in ("eRegulon_name", "Region_signature_name", "Gene_signature_name") if n in table), None)
    names = pd.Series("", index=table.index) if column is None else table[column].astype(str)
    parsed = {name: parse_regulon(name) for name in names.unique()}
    sign, state = (names.map({n: getattr(r, part) for n, r in parsed.items()}) for part in ("sign", "region_sign"))
    numbers = {
        name: pd.to_numeric(table[theirs], errors="coerce") if theirs in table else np.full(len(table), np.nan)
        for name, theirs in (
            ("tf_gene_importance", "importance_TF2G"), ("tf_gene_rho", "rho_TF2G"),
            ("region_gene_importance", "importance_R2G"), ("region_gene_rho", "rho_R2G"),
        )
    }  # fmt: skip
    if "importance_TF2G" not in table:
        numbers["tf_gene_importance"] = np.ones(len(table))
    extended = names.map({n: r.extended for n, r in parsed.items()})
    if "is_extended" in table:
        extended = table["is_extended"].astype(str).str.lower().isin(["true", "1"])
    out = pd.DataFrame(
        {"tf": table["TF"], "gene": table["Gene"], "region": spell_regions(table["Region"]), **numbers},
        index=table.index,
    )
    regulation = pd.to_numeric(table["regulation"], errors="coerce") if "regulation" in table else out["tf_gene_rho"]
    out["sign"] = sign.where(sign != 0, np.sign(regulation))
    out["region_sign"] = state.where(state != 0, np.sign(out["region_gene_rho"])).fillna(0)
    out["evidence"] = np.where(extended, "extended", "direct")
    if "triplet_rank" in table:
        rank = pd.to_numeric(table["triplet_rank"], errors="coerce")
        out["score"] = 1 - rank / (rank.max() + 1)
    return out


def read_pyscenic(table: pd.DataFrame) -> pd.DataFrame:
    """Regulons of `pyscenic ctx`: one regulon per TF and sign, the union over motifs with the largest weight of a gene."""
    targets = [_literal(text) for text in table["TargetGenes"]]
    size = [len(part) for part in targets]
    sign = np.where(table["Context"].astype(str).str.contains("repressing"), -1, 1)
    direct = pd.Series(True, index=table.index)  # noqa: FBT003  (a value, not a flag)
    if "Annotation" in table:
        direct = table["Annotation"].astype(str).str.contains("directly annotated")
    flat = [pair for part in targets for pair in part]
    out = pd.DataFrame(
        {
            "tf": np.repeat(table["TF"].to_numpy(dtype=object), size),
            "gene": np.array([pair[0] for pair in flat], dtype=object),
            "tf_gene_importance": np.array([pair[1] for pair in flat], dtype=np.float64),
            "sign": np.repeat(sign, size),
            "direct": np.repeat(direct.to_numpy(), size),
        }
    )
    grouped = out.groupby(["tf", "gene", "sign"], sort=False, as_index=False)
    best = grouped.agg({"tf_gene_importance": "max", "direct": "max"})
    evidence = np.where(best.pop("direct"), "direct", "extended")
    return best.assign(evidence=evidence, eregulon=_plain_names(best))


def _literal(text: object) -> list[tuple[str, float]]:
    """List of (gene, weight), read as a literal and never evaluated."""
    if isinstance(text, (list, tuple)):
        return list(text)
    try:
        found = ast.literal_eval(NUMPY_NUMBER.sub(r"\1", str(text)))
        return [(str(gene), float(weight)) for gene, weight in found]
    except (ValueError, SyntaxError, TypeError) as error:
        raise fail(
            ValueError, "TargetGenes must hold a list of (gene, weight).", f"{str(text)[:60]!r}.",
            "give the csv as pyscenic ctx writes it.",
        ) from error  # fmt: skip


def _plain_names(table: pd.DataFrame) -> pd.Series:
    return table["tf"].astype(str).str.replace("/", "_") + table["sign"].map({1: "|act", -1: "|rep"})


def read_regulons(table: pd.DataFrame) -> pd.DataFrame:
    """Gene sets (GMT, loom) by their names; the genes weigh 1."""
    text = table["regulon"].astype(str)
    about = table["description"].astype(str) if "description" in table else pd.Series("", index=table.index)
    number, keys = pd.factorize(text + "\t" + about)
    parsed = [parse_regulon(*key.split("\t", 1)) for key in keys]
    columns = ("tf", "sign", "region_sign", "extended")
    found = pd.DataFrame({name: [getattr(one, name) for one in parsed] for name in columns}).iloc[number]
    found = found.reset_index(drop=True)
    kind = np.where(found.pop("extended"), "extended", "prior")
    names = text.str.replace("/", "_").where(text.str.contains(r"\|act|\|rep"), "")
    return found.assign(gene=table["gene"].to_numpy(), tf_gene_importance=1.0, evidence=kind, eregulon=names.to_numpy())


def read_celloracle(table: pd.DataFrame) -> pd.DataFrame:
    """CellOracle base network: every link weighs 1."""
    links = links_of_frame(table)
    names = {"tf": links["tf"], "gene": links["gene_short_name"], "region": spell_regions(links["peak_id"])}
    return pd.DataFrame(names).assign(tf_gene_importance=1.0, sign=1, evidence="prior")


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns that tell a table, and its reader."""

    needs: tuple[str, ...]
    read: Callable[[pd.DataFrame], pd.DataFrame]


LAYOUTS: dict[str, Layout] = {  # the first whose columns are all there is taken
    "edges": Layout(("tf", "gene", "tf_gene_importance", "sign", "eregulon"), read_edges),
    "scenicplus": Layout(("TF", "Region", "Gene"), read_scenicplus),
    "pyscenic": Layout(("TF", "Context", "TargetGenes"), read_pyscenic),
    "celloracle": Layout(PLACE, read_celloracle),
    "regulons": Layout(("regulon", "gene"), read_regulons),
    "greta": Layout(("source", "cre", "target"), read_greta),
    "frame": Layout(("tf", "gene", "weight", "eregulon"), read_frame),
}
PAIRS = "decoupler"  # any TF and gene column: taken where nothing else fits


def find_layout(table: pd.DataFrame, format: str | None) -> str:
    """Name the layout of a table; the error says which columns are missing."""
    if format in LAYOUTS:
        missing = [name for name in LAYOUTS[format].needs if name not in table]
        if missing:
            raise fail(
                ValueError, f"format={format!r} needs the columns {list(LAYOUTS[format].needs)}.",
                f"{missing} missing among {listing(table.columns)}.", "leave format= out, or give the right file.",
            )  # fmt: skip
        return format
    for name, layout in LAYOUTS.items():
        if format != PAIRS and set(layout.needs) <= set(table.columns):
            return name
    if not {"tf", "gene"} <= set(long_columns(table)):
        raise fail(
            ValueError, "a network table needs a TF and a gene column (tf/source/regulator, gene/target).",
            f"columns {listing(table.columns)}.",
            "name the columns source, target, weight; a wide TF x gene table goes through grs.priors.prior_network.",
        )  # fmt: skip
    return PAIRS
