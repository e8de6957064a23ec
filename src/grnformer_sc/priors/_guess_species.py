"""Which species gene names belong to, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

FEWEST_NAMES = 20  # names below which nothing is guessed
FEWEST_FITTING = 0.5  # share of the names that must fit the best species
YEAST_SHARE = 0.9  # three capitals and a number: a rule of yeast symbols that some human ones follow
MARKED = 2.0  # weight of names that occur in one species alone

# form: how symbols are written; mark: ids and names that only this species has
PATTERNS: dict[str, tuple[str, str]] = {
    "human": (r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)*|C\d+orf\d+", r"ENSG\d{11}(\.\d+)?|C\d+orf\d+|HGNC:\d+|HLA-\w+|LINC\d+"),
    "mouse": (r"[A-Z][a-z0-9]+(-[a-z0-9]+)*", r"ENSMUSG\d{11}(\.\d+)?|Gm\d+|\w+Rik|H2-\w+"),
    "rat": (r"[A-Z][a-z0-9]+(-[a-z0-9]+)*", r"ENSRNOG\d{11}(\.\d+)?|RGD\d+|RT1-\w+|AABR\d+.*"),
    "zebrafish": (r"[a-z][a-z0-9]+([.-][a-z0-9]+)*", r"ENSDARG\d{11}(\.\d+)?|(si|zgc|im|wu|sb|zmp):.+"),
    "fly": (r"(?!)", r"FBgn\d{7}|C[GR]\d{3,5}|(lncRNA|asRNA|tRNA|mt):.+|l\(\d\)\w+|(Su|E|In)\(\w+\).*"),
    "worm": (r"[a-z]{3,4}-\d+(\.\d+)?", r"WBGene\d{8}|[a-z]{3,4}-\d+(\.\d+)?|[A-Z]\w+\d\.\d+[a-z]?"),
    "yeast": (r"[A-Z]{3}\d{1,3}", r"Y[A-P][LR]\d{3}[WC](-[A-Z])?"),
    "arabidopsis": (r"(?!)", r"A[Tt][1-5CM][Gg]\d{5}(\.\d+)?"),
}


def guess_species(names: Iterable[str]) -> tuple[str, pd.DataFrame]:
    """Guess the species from gene names: prefixes of ids, letter case, names that one species alone has.

    Letter case tells human (GAD1), rodents (Gad1) and zebrafish (gad1) apart; ids (ENSMUSG, FBgn) and systematic names
    (Gm123, CG1234, si:dkey, YAL001C) count twice more. Rodent names without such a mark are called mouse, since rat
    symbols are written alike.

    Parameters
    ----------
    names
        Gene symbols or ids.

    Returns
    -------
    Species (`"unknown"` for fewer than 20 names, or where less than half fit) and the evidence, best first: a table
    indexed by species with the shares of names that fit its `form`, that carry its `mark`, and the `score`.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.priors.guess_species([f"ENSMUSG{i:011d}" for i in range(30)])[0]
    'mouse'
    """
    text = pd.Index([str(name).strip() for name in names]).unique()
    rows = {}
    for species, (form, mark) in PATTERNS.items():
        fits, marked = _share(text, f"{form}|{mark}"), _share(text, mark)
        if species == "yeast" and fits < YEAST_SHARE:
            fits = marked
        elif species == "yeast":
            marked = fits
        rows[species] = {"form": fits, "mark": marked, "score": fits + MARKED * marked}
    table = pd.DataFrame.from_dict(rows, orient="index").sort_values("score", ascending=False, kind="stable")
    best = str(table.index[0])
    known = text.size >= FEWEST_NAMES and table.loc[best, "form"] >= FEWEST_FITTING
    return (best if known else "unknown"), table


def _share(names: pd.Index, pattern: str) -> float:
    compiled = re.compile(pattern)
    return sum(compiled.fullmatch(name) is not None for name in names) / max(names.size, 1)
