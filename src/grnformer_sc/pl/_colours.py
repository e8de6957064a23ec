"""Colours of cell types: the user's own where they are stored, else colour-blind safe ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._core.keys import GrnKeys
from ._style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

if TYPE_CHECKING:
    from anndata import AnnData

PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY)


def group_colours(adata: AnnData, groups: Sequence[str], key: str = "grn") -> dict[str, str]:
    """Colour of each cell type of the network `key`.

    As scanpy stores them: `uns["<column>_colors"]` in the order of the categories, of the network's own label or of the
    column it was made from. Without them the palette is gone through again and again; rows of a plot also have names.
    """
    keys = GrnKeys(key)
    params: dict[str, Any] = adata.uns.get(keys.uns, {}).get("params", {})
    for column in (keys.group, str(params.get("groupby", ""))):
        stored = adata.uns.get(f"{column}_colors")
        if stored is None or column not in adata.obs or not hasattr(adata.obs[column], "cat"):
            continue
        found = dict(zip(adata.obs[column].cat.categories.astype(str), map(str, stored), strict=False))
        if set(groups) <= set(found):
            return {group: found[group] for group in groups}
    return {group: PALETTE[i % len(PALETTE)] for i, group in enumerate(groups)}
