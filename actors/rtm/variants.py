"""Variants tried against each other: which arm of a test a line is in.

It owns the model of an arm and the lasting draw that deals lines to arms, by test and line alone,
so that no other test, offer or decision moves anybody.  It must not know what came of an arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from sim.core import rng
from sim.core.kernel import kernel
from sim.core.params import Params
from sim.core.rng import below, draw_cause, stream

S_ARM = stream("arm of a test of variants")
ARMS_MAX = 100


class Arm(Params):
    """One arm of a test: the offer is for the lines of this arm alone."""

    test: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$", description="name of the test; its offers share it"
    )
    of: int = Field(default=2, ge=2, le=ARMS_MAX, description="arms of the test, of one size")
    arm: int = Field(ge=0, lt=ARMS_MAX, description="which of them, from 0")


class VariantTables(NamedTuple):
    """Arms of use cases.

    Attributes
    ----------
    case_test : (n_cases,) uint32, name id of the test; 0 none
    case_of, case_arm : (n_cases,) int64, arms of the test, and the one of the use case
    """

    case_test: np.ndarray
    case_of: np.ndarray
    case_arm: np.ndarray


def compile_variants(arms: Sequence[Arm | None]) -> VariantTables:
    """Return the tables of the arms of use cases, None where one is for everybody."""
    return VariantTables(
        np.array([rng.name_id("test:" + a.test) if a else 0 for a in arms] or [0], np.uint32),
        np.array([a.of if a else 1 for a in arms] or [1], np.int64),
        np.array([a.arm if a else 0 for a in arms] or [0], np.int64),
    )


@kernel
def arm_of(seed, sub, test, of):
    """Return the arm of a test in which a line is: a lasting trait, one as likely as another."""
    a, _, _, _ = draw_cause(seed, S_ARM, sub, test, 0, 0)
    return below(a, of)


@kernel
def in_arm(t, sub, case):
    """Return whether a use case is for the arm of a line, or for everybody."""
    v = t.variants
    test = v.case_test[case]
    return test == 0 or arm_of(t.seed, sub, test, v.case_of[case]) == v.case_arm[case]
