"""Matching gene names: ids, versions, former names, letter case, copies made unique, orthologs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing

# ways of matching, the surest first
WAYS = ("exact", "whitespace", "version", "suffix", "id", "previous", "alias", "ortholog", "case")
LOST = ("ambiguous", "unmatched")
NAME_COLUMNS = ("symbol", "gene_symbol", "gene_name", "feature_name", "gene", "name")
OTHER_COLUMNS = {
    "id": ("ensembl", "ensembl_gene_id", "ensembl_id", "gene_id", "gene_ids", "id", "hgnc_id", "entrez_id"),
    "previous": ("prev_symbol", "previous", "previous_symbol"),
    "alias": ("alias_symbol", "alias", "aliases", "synonym", "synonyms"),
}
VERSION = re.compile(r"(ENS[A-Z]*G\d{11})(\.\d+)?(_PAR_Y)?")
COPY = re.compile(r"(.+)[-.]\d+")


@dataclass(frozen=True, slots=True)
class Synonyms:
    """Other names of genes, one row each: `key` (the other name), `name` (the symbol), `way`."""

    table: pd.DataFrame

    @property
    def symbols(self) -> pd.Index:
        return pd.Index(self.table["name"].unique())


def read_synonyms(source: Any) -> Synonyms:
    """Read a dict alias -> symbol, a table or a tab- or comma-separated file (also the HGNC complete set).

    Columns are known by their names; cells with several names are split at "|". Two columns of any names are read as
    alias and symbol.
    """
    if isinstance(source, Mapping):
        frame = pd.DataFrame({"alias": list(source), "symbol": list(source.values())}, dtype=str)
    elif isinstance(source, pd.DataFrame):
        frame = source
    else:
        path = Path(source)
        if not path.exists():
            raise fail(FileNotFoundError, "the table of names must exist.", f"{path}.", "check the path.")
        sep = "," if ".csv" in path.suffixes else "\t"
        frame = pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)
    lower = {str(column).lower(): column for column in frame.columns}
    symbol = next((lower[name] for name in NAME_COLUMNS if name in lower), None)
    columns = [(way, lower[name]) for way, names in OTHER_COLUMNS.items() for name in names if name in lower]
    if symbol is None and len(frame.columns) == 2:
        symbol, columns = frame.columns[1], [("alias", frame.columns[0])]
    if symbol is None or not columns:
        raise fail(
            KeyError, "a table of names needs a column with symbols and one with ids or aliases.",
            f"{listing(frame.columns)}.",
            "name the columns symbol and alias (or ensembl, prev_symbol), or give a dict alias -> symbol.",
        )  # fmt: skip
    parts = [_long(frame[column], frame[symbol], way) for way, column in columns]
    return Synonyms(pd.concat(parts, ignore_index=True).drop_duplicates(["key", "name"]).reset_index(drop=True))


def _long(key: pd.Series, name: pd.Series, way: str) -> pd.DataFrame:
    both = pd.DataFrame({"key": key.astype(object).to_numpy(), "name": name.astype(object).to_numpy()}).dropna()
    both = both.astype(str)
    both = both.assign(key=both["key"].str.strip('" ').str.split("|"), way=way).explode("key")
    both["key"], both["name"] = both["key"].str.strip().map(unversioned), both["name"].str.strip()
    return both[(both["key"] != "") & (both["name"] != "")]


def unversioned(name: str) -> str:
    """Ensembl id without version; any other name as it is."""
    found = VERSION.fullmatch(name)
    return found.group(1) if found else name


def match_names(
    names: pd.Index,
    target: Iterable[str],
    *,
    synonyms: Synonyms | None = None,
    orthologs: Synonyms | None = None,
    case: bool = True,
) -> pd.DataFrame:
    """Match every name to one of the target's.

    Returns a table in the order of `names`: `before`, `after` ("" where there is none) and `way`. The surest way wins; a
    name that leads to several targets by the same way is ambiguous and stays unmatched. With `orthologs` names of the
    target are reached through that table alone.
    """
    if orthologs is None:
        found = _match(names, target, synonyms, case=case)
    else:
        here = _match(names, orthologs.table["key"].unique(), synonyms, case=case)
        there = _through(orthologs, target)
        after = [there.get(key, ("", "unmatched")) if key else ("", way) for key, way in found_pairs(here)]
        found = pd.DataFrame(
            {"before": names.astype(str), "after": [a for a, _ in after], "way": [w for _, w in after]}
        )
    return found


def found_pairs(table: pd.DataFrame) -> Iterable[tuple[str, str]]:
    """Pairs of new name and way."""
    return zip(table["after"], table["way"], strict=True)


def _through(orthologs: Synonyms, target: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Target name of every source gene; of several the one spelled alike, else none."""
    wanted = _match(orthologs.symbols, target, None, case=True)
    known = dict(zip(wanted["before"], wanted["after"], strict=True))
    out: dict[str, tuple[str, str]] = {}
    for key, part in orthologs.table.groupby("key", sort=False):
        hits = sorted({known[name] for name in part["name"] if known[name]})
        alike = [name for name in hits if name.upper() == str(key).upper()]
        chosen = hits if len(hits) == 1 else alike
        out[str(key)] = (chosen[0], "ortholog") if len(chosen) == 1 else ("", "ambiguous" if hits else "unmatched")
    return out


def _match(names: pd.Index, target: Iterable[str], synonyms: Synonyms | None, *, case: bool) -> pd.DataFrame:
    wanted = list(dict.fromkeys(str(name) for name in target))
    exact = {name: name for name in wanted}
    plain = _unambiguous((unversioned(name.strip()), name) for name in wanted)
    # unlike `_core.tables.places_by_upper`: of names that differ in case only none is taken, and the loss is reported
    folded = _unambiguous((name.strip().upper(), name) for name in wanted) if case else {}
    ways = _ways_to(plain, synonyms)
    present = {str(name).strip() for name in names}

    def find(name: str) -> tuple[str, str]:
        text = name.strip()
        base = unversioned(text)
        if name in exact:
            return name, "exact"
        if base in plain:
            return plain[base], "version" if base != text or plain[base] != base else "whitespace"
        if (hit := ways.get(base)) is not None:
            return hit
        made = COPY.fullmatch(text)  # make_unique leaves the first copy as it was
        if made and made.group(1) in present:
            stem = made.group(1)
            if stem in plain:
                return plain[stem], "suffix"
            if (hit := ways.get(stem)) is not None and hit[0]:
                return hit[0], "suffix"
        if text.upper() in folded:
            return folded[text.upper()], "case"
        return "", "unmatched"

    found = [find(str(name)) for name in names]
    return pd.DataFrame({"before": names.astype(str), "after": [a for a, _ in found], "way": [w for _, w in found]})


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Dictionary of the keys that have one value."""
    out: dict[str, str] = {}
    twice = set()
    for key, value in pairs:
        if out.setdefault(key, value) != value:
            twice.add(key)
    return {key: value for key, value in out.items() if key not in twice}


def _ways_to(target: Mapping[str, str], synonyms: Synonyms | None) -> dict[str, tuple[str, str]]:
    """Target and way of every name in the table; ("", "ambiguous") where it leads to several."""
    if synonyms is None:
        return {}
    table = synonyms.table
    hit = [target.get(name, "") for name in table["name"]]
    direct = pd.DataFrame({"key": table["key"], "hit": hit, "way": table["way"]})
    # the target may hold the ids: a symbol or another name of the same gene leads there
    back = pd.DataFrame({"name": table["name"], "hit": [target.get(k, "") for k in table["key"]], "way": table["way"]})
    back = back[(back["hit"] != "") & (back["way"] == "id")]
    named = back.rename(columns={"name": "key"})
    other = table[["key", "name", "way"]].merge(back[["name", "hit"]], on="name")[["key", "hit", "way"]]
    links = pd.concat([direct[direct["hit"] != ""], named, other], ignore_index=True)
    links["rank"] = links["way"].map({way: i for i, way in enumerate(WAYS)})
    links = links[links["rank"] == links.groupby("key")["rank"].transform("min")].drop_duplicates(["key", "hit"])
    n_hits = links.groupby("key")["hit"].transform("size").to_numpy()
    after = np.where(n_hits == 1, links["hit"], "")
    way = np.where(n_hits == 1, links["way"], "ambiguous")
    return dict(zip(links["key"], zip(after.tolist(), way.tolist(), strict=True), strict=True))
