"""Keyed draws: the published answers of Philox, uniformity, and ids that never move."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim.core import rng
from sim.core.kernel import kernel

ONES = 0xFFFFFFFF
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@kernel
def philox_into(words, out):
    """Write Philox of words[:4] (counter) and words[4:] (key)."""
    a, b, c, d = rng.philox(words[0], words[1], words[2], words[3], words[4], words[5])
    out[0], out[1], out[2], out[3] = a, b, c, d


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_published_answers(counter, key, answer) -> None:
    """The three known answers of Random123 for philox4x32-10."""
    out = np.zeros(4, np.uint32)
    philox_into(np.array([*counter, *key], np.uint32), out)
    assert tuple(int(x) for x in out) == answer


def test_a_draw_is_philox_of_its_key() -> None:
    """The counter is (entity, epoch, k, 0), the key is seed and stream mixed."""
    seed = 0x0123456789ABCDEF
    out = np.zeros(4, np.uint32)
    mixed = (seed >> 32) ^ int(rng.stream("home"))
    philox_into(np.array([77, 5, 3, 0, seed & ONES, mixed], np.uint32), out)
    got = rng.draws(seed, "home", np.array([77]), epoch=5, k=3)
    assert got[0].tolist() == out.tolist()


@pytest.mark.parametrize("varied", ["entity", "epoch", "k", "seed", "stream"])
def test_draws_are_uniform_along_every_part_of_the_key(varied: str) -> None:
    """Chi-square over 256 bins of each word for 65,536 keys that differ in one part: p > 1e-6."""
    n = 65_536
    if varied == "entity":
        words = rng.draws(1, "x", np.arange(n))
    else:
        make = {
            "epoch": lambda i: rng.draws(1, "x", np.array([9]), epoch=i),
            "k": lambda i: rng.draws(1, "x", np.array([9]), k=i),
            "seed": lambda i: rng.draws(i, "x", np.array([9])),
            "stream": lambda i: rng.draws(1, f"x{i}", np.array([9])),
        }[varied]
        n = 8_192
        words = np.concatenate([make(i) for i in range(n)])
    for lane in range(4):
        for shift in (0, 24):
            bins = 256 if varied == "entity" else 64
            index = (words[:, lane] >> np.uint32(shift)) & np.uint32(bins - 1)
            assert stats.chisquare(np.bincount(index, minlength=bins)).pvalue > 1e-6, (lane, shift)


def test_draws_of_neighbours_do_not_correlate() -> None:
    """Rank correlation of the draws of neighbouring lines, and of two streams: p > 1e-6."""
    a = rng.draws(3, "a", np.arange(20_000))[:, 0].astype(float)
    b = rng.draws(3, "b", np.arange(20_000))[:, 0].astype(float)
    assert stats.spearmanr(a[:-1], a[1:]).pvalue > 1e-6
    assert stats.spearmanr(a, b).pvalue > 1e-6


def test_the_order_of_draws_does_not_matter() -> None:
    """Draws of lines backwards, or alone, are those of the same lines forwards."""
    subs = np.arange(100)
    whole = rng.draws(5, "home", subs)
    assert np.array_equal(rng.draws(5, "home", subs[::-1])[::-1], whole)
    assert np.array_equal(rng.draws(5, "home", np.array([42]))[0], whole[42])


def test_ids_of_names_never_move() -> None:
    """Ids are written into run folders and key every draw: these values are for ever."""
    assert rng.name_id("offer:mall_coupon") == 2_574_012_742
    assert rng.name_id("rule:low_balance") == 663_841_107
    assert rng.name_id("SubscriberState.home") == 844_425_789
    assert rng.name_id("") == int.from_bytes(bytes.fromhex("1271cf25"), "little")
    assert int(rng.stream("home")) == rng.name_id("stream:home") == 2_833_024_102
    names = [f"offer:{k}" for k in range(2_000)]
    assert len({rng.name_id(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("probability", "wanted"), [(0, 0), (-1, 0), (0.5, 2**31), (1, ONES), (7, ONES), (1e-12, 0)]
)
def test_a_threshold_is_a_share_of_the_range(probability: float, wanted: int) -> None:
    """`u < t` has the probability, to one in 2**32; out of range is cut."""
    assert int(rng.threshold(probability)) == wanted


def test_below_is_uniform_and_in_range() -> None:
    """The map of a draw onto 0..n-1: exact at both ends, chi-square at 1e-6 within."""
    words = rng.draws(1, "below", np.arange(60_000))[:, 0]
    hits = np.array([rng.below(u, 7) for u in words])
    assert hits.min() == 0 and hits.max() == 6
    assert stats.chisquare(np.bincount(hits, minlength=7)).pvalue > 1e-6
    assert rng.below(np.uint32(ONES), 7) == 6
    assert rng.below(np.uint32(0), 7) == 0
