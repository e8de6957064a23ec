"""Seeds depend on the root and on names, on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from grnformer_sc._core.rng import as_root, generator, seed_for, seeds_for, torch_generator


def test_an_integer_gives_one_root_for_ever() -> None:
    assert as_root(0) == as_root(np.int64(0)) == 0x45E6467A0A07E5790BDA0C4F92D3B1


def test_roots_of_neighbouring_integers_differ() -> None:
    assert len({as_root(i) for i in range(1000)}) == 1000


def test_a_generator_is_advanced_once_and_repeats() -> None:
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    roots = [as_root(first), as_root(first)]
    assert roots == [as_root(second), as_root(second)]
    assert roots[0] != roots[1]


def test_none_takes_fresh_entropy() -> None:
    assert as_root(None) != as_root(None)


@pytest.mark.parametrize("wrong", [True, "0", 1.5])
def test_other_types_are_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"rng must be .* Found: .* Fix:"):
        as_root(wrong)  # type: ignore[arg-type]


def test_seeds_of_names_do_not_depend_on_their_order() -> None:
    names = [f"gene{i}" for i in range(2000)]
    seeds = dict(zip(names, seeds_for(7, "tf_gene", names), strict=True))
    assert dict(zip(names[::-1], seeds_for(7, "tf_gene", names[::-1]), strict=True)) == seeds
    assert seeds["gene5"] == seed_for(7, "tf_gene", "gene5")


def test_seeds_do_not_collide_between_names_purposes_and_roots() -> None:
    names = [f"gene{i}" for i in range(5000)]
    seeds = np.concatenate([seeds_for(root, purpose, names) for root in (1, 2) for purpose in ("a", "b")])
    assert np.unique(seeds).size == seeds.size
    assert seed_for(1, "ab", "c") != seed_for(1, "a", "bc")


def test_generators_repeat_and_differ_by_purpose() -> None:
    draw = [generator(1, name).random(4).tolist() for name in ("a", "a", "b")]
    assert draw[0] == draw[1] != draw[2]


def test_torch_generators_repeat() -> None:
    torch = pytest.importorskip("torch")
    draw = [torch.rand(3, generator=torch_generator(1, name)).tolist() for name in ("a", "a", "b")]
    assert draw[0] == draw[1] != draw[2]
