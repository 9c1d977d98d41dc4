"""Make the random generators of the build, one per named purpose.

This module owns how a seed and a purpose become a generator, so that no part of the build depends
on how many numbers another part drew. Philox is counter-based, and NumPy keeps its bit stream
stable. It must not be used after the build: runs draw with `sim.core.rng`.
"""

from __future__ import annotations

import numpy as np

from sim.core.rng import name_id


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose, for instance `geo:sites`."""
    return np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), name_id(purpose)]))
