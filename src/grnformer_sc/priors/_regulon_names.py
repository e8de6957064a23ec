"""What the name of a regulon says: its TF, its signs, whether its motifs are borrowed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._core.tables import eregulon_name

FORMS = (
    # ours: TF|act|open
    re.compile(r"(?P<tf>.+)\|(?P<sign>act|rep)(?:\|(?P<state>open|closed))?(?P<extended>\|extended)?"),
    # SCENIC+: TF_direct_+/+_(12g), earlier TF_+_+_(12g) and TF_extended_+_+_(12g)
    re.compile(r"(?P<tf>.+?)(?:_direct|(?P<extended>_extended))?_(?P<sign>[+-])[/_](?P<state>[+-])(?:_\(\d+[gr]\))?"),
    # pySCENIC: TF(+), TF_(+); SCENIC: TF (12g), TF_extended (12g)
    re.compile(r"(?P<tf>.+?)(?P<extended>_extended)?[ _]?\((?P<sign>[+-])?(?:\d+g)?\)"),
    re.compile(r"Regulon for (?P<tf>.+)"),
)
SIGNS = {"act": 1, "rep": -1, "open": 1, "closed": -1, "+": 1, "-": -1}


@dataclass(frozen=True, slots=True)
class Regulon:
    """TF and signs of a regulon; 0 where its name does not tell."""

    tf: str
    sign: int = 0
    region_sign: int = 0
    extended: bool = False


def parse_regulon(name: str, description: str = "") -> Regulon:
    """Read a name in the forms of this package, SCENIC+, pySCENIC and SCENIC; any other name is that of the TF.

    The description of a gene set gives back a TF whose name had to be changed in that of the regulon ("/" became "_").
    """
    for form in FORMS:
        found = form.fullmatch(name.strip())
        if found:
            part = found.groupdict()
            sign, state = (SIGNS.get(part.get(key) or "", 0) for key in ("sign", "state"))
            tf = description if description.replace("/", "_") == part["tf"] else part["tf"]
            return Regulon(tf, sign, state, bool(part.get("extended")))
    return Regulon(name.strip())


def name_regulon(tf: str, sign: int, region_sign: int, *, extended: bool) -> str:
    """Name an imported eRegulon; those with borrowed motifs stay apart from the direct ones, as in SCENIC+."""
    return eregulon_name(tf, sign, region_sign) + ("|extended" if extended else "")
