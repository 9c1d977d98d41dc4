"""Keyed random draws: Philox 4x32-10, and the names of the streams.

A draw is a pure function of (seed, stream, entity, epoch, k); there is no generator object, so
nothing can fall out of step.  This module owns the generator, the id of a stream name and the
128-bit mixing used for digests; it must not know what a draw decides.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from sim.core.kernel import hot, kernel

EPOCH_MS = 900_000
"""Length of the epoch in the key of a draw, whatever the tick of the run, ms."""

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint32(0x9E3779B9)
_W1 = np.uint32(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_S32 = np.uint64(32)


@functools.lru_cache(maxsize=4096)
def name_id(name: str) -> int:
    """Return the stable 32-bit id of a name (a stream, a use case, a column)."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little")


def stream(name: str) -> np.uint32:
    """Return the id of a decision point; use each for one kind of decision only."""
    return np.uint32(name_id("stream:" + name))


@hot
def philox(c0, c1, c2, c3, k0, k1):
    """Return four uint32 of Philox 4x32-10 for a counter and a key of uint32.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    for _ in range(10):
        p0 = _M0 * np.uint64(c0)
        p1 = _M1 * np.uint64(c2)
        c0 = np.uint32(p1 >> _S32) ^ c1 ^ k0
        c1 = np.uint32(p1 & _LOW)
        c2 = np.uint32(p0 >> _S32) ^ c3 ^ k1
        c3 = np.uint32(p0 & _LOW)
        k0 = np.uint32(k0 + _W0)
        k1 = np.uint32(k1 + _W1)
    return c0, c1, c2, c3


@hot
def draw(seed, stream_id, entity, epoch, k):
    """Return the four uint32 of draw `k` of an entity in an epoch.

    Parameters
    ----------
    seed : uint64
    stream_id : uint32, from `stream`
    entity : int, global id of the line, cell or channel (never a row number)
    epoch : int, `ts_ms // 900_000`, or another fixed key of the cause
    k : int, number of the potential event within the epoch
    """
    return philox(
        np.uint32(entity),
        np.uint32(epoch),
        np.uint32(k),
        np.uint32(0),
        np.uint32(seed & _LOW),
        np.uint32((seed >> _S32) & _LOW) ^ np.uint32(stream_id),
    )


@kernel
def draw_cause(seed, stream_id, entity, name, ts_s, k):
    """Return four uint32 keyed by a cause: an entity, the id of a name, and the moment in s."""
    return philox(
        np.uint32(entity),
        np.uint32(ts_s),
        np.uint32(name),
        np.uint32(k),
        np.uint32(seed & _LOW),
        np.uint32((seed >> _S32) & _LOW) ^ np.uint32(stream_id),
    )


@hot
def mix64(x):
    """Return the splitmix64 finaliser of a uint64 (Steele et al., OOPSLA 2014)."""
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@hot
def below(u, n):
    """Map a uint32 draw onto 0..n-1."""
    return np.int64((np.uint64(u) * np.uint64(n)) >> _S32)


@kernel
def draw_many(seed, stream_id, entities, epoch, k, out):
    """Write the four words of one draw for each entity.

    Parameters
    ----------
    entities : (n,) int64
    out : (n, 4) uint32, written
    """
    for i in range(entities.shape[0]):
        a, b, c, d = draw(seed, stream_id, entities[i], epoch, k)
        out[i, 0] = a
        out[i, 1] = b
        out[i, 2] = c
        out[i, 3] = d


def draws(seed: int, name: str, entities: np.ndarray, *, epoch: int = 0, k: int = 0) -> np.ndarray:
    """Return (n, 4) uint32 draws of the named stream, one row for each entity.

    Parameters
    ----------
    entities : (n,) integers, global ids
    """
    out = np.empty((len(entities), 4), np.uint32)
    draw_many(
        np.uint64(seed), stream(name), np.ascontiguousarray(entities, np.int64), epoch, k, out
    )
    return out


def seed64(seed: int) -> np.uint64:
    """Return a scenario's seed as the uint64 that kernels take."""
    return np.uint64(seed & 0xFFFFFFFFFFFFFFFF)


def threshold(probability: float) -> np.uint32:
    """Return the uint32 threshold `t` such that a draw `u < t` has this probability."""
    return np.uint32(min(max(round(probability * 4294967296.0), 0), 4294967295))
