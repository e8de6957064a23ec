"""Results are written completely or not at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from grnformer_sc._core.results import SLOTS, Results


@pytest.fixture
def adata() -> AnnData:
    out = AnnData(np.ones((4, 3), dtype=np.float32))
    out.obs["old"] = [1, 2, 3, 4]
    out.uns["kept"] = {"a": 1}
    return out


def full() -> Results:
    out = Results()
    out.obs["old"] = np.arange(4)
    out.var["flag"] = np.array([True, False, True])
    out.obsm["emb"] = np.zeros((4, 2))
    out.varm["emb"] = np.zeros((3, 2))
    out.obsp["graph"] = sp.eye(4, format="csr")
    out.varp["net"] = sp.eye(3, format="csr")
    out.uns["record"] = {"x": 1}
    return out


def test_every_slot_receives_its_values(adata: AnnData) -> None:
    results = full()
    results.write(adata)
    for slot in SLOTS:
        assert set(getattr(results, slot)) <= set(getattr(adata, slot))
    assert adata.obs["old"].tolist() == [0, 1, 2, 3]
    assert adata.uns["kept"] == {"a": 1}


@pytest.mark.parametrize(("slot", "shape"), [("obsm", (5, 2)), ("varm", (4, 2)), ("obsp", (3, 3)), ("varp", (4, 4))])
def test_a_value_that_does_not_fit_leaves_the_object_as_it_was(
    adata: AnnData, slot: str, shape: tuple[int, int]
) -> None:
    before = adata.copy()
    results = full()
    getattr(results, slot)["wrong"] = np.zeros(shape)
    with pytest.raises(ValueError, match="shape"):
        results.write(adata)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert dict(adata.uns) == dict(before.uns)
    for name in ("obsm", "varm", "obsp", "varp"):
        assert not list(getattr(adata, name))


def test_an_interrupt_leaves_the_object_as_it_was(adata: AnnData) -> None:
    class Interrupted(dict[str, object]):
        def items(self):
            yield "kept", {"a": 2}
            raise KeyboardInterrupt

    results = full()
    results.uns = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        results.write(adata)
    assert adata.obs["old"].tolist() == [1, 2, 3, 4]
    assert adata.uns["kept"] == {"a": 1}
    assert not list(adata.obsm)
