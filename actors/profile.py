"""The static profile: what a CRM knows of a line, built once and read by every role.

It owns the columns, their codes and the keyed draws behind them.  It must not know anything
latent: home, work and wants belong to the subscriber role alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.core import rng
from sim.core.columns import Columns, Field, Schema

CONSENT, APP, BLACK, M2M, PREPAID, CONTROL = 1, 2, 4, 8, 16, 32
"""Bits of `flags`: marketing consent, our app, black list, machine, prepaid, universal control."""
DEVICES = ("feature", "3g", "4g", "5g")
AGE_BANDS = ("under_18", "18_24", "25_34", "35_44", "45_54", "55_64", "65_up")

PROFILE = Schema(
    "Profile",
    (
        Field("region", "u2", "1", "registered region, row of the geography's regions"),
        Field("age_band", "u1", "code", "one of `AGE_BANDS`"),
        Field("segment", "u1", "code", "segment of the tariff at the start"),
        Field("tariff", "u1", "1", "tariff at the start, row of the catalogue"),
        Field("device", "u1", "code", "one of `DEVICES`"),
        Field("tenure_days", "u2", "days", "time with us at the start"),
        Field("flags", "u1", "bits", "consent, app, black list, machine, prepaid, control"),
    ),
    doc="facts of the CRM at the start of the run",
)


@dataclass(frozen=True)
class ProfileTables:
    """What the profile draws from.

    Attributes
    ----------
    tariff_cum : (n_tariffs,) uint32, cumulative shares
    tariff_segment : (n_tariffs,) uint8
    tariff_prepaid : (n_tariffs,) bool
    hex_region : (n_hex,) uint16
    thresholds : draws below them mean yes: consent, app, black, control, smartphone, 4g
    """

    tariff_cum: np.ndarray
    tariff_segment: np.ndarray
    tariff_prepaid: np.ndarray
    hex_region: np.ndarray
    consent: np.uint32
    app: np.uint32
    black: np.uint32
    control: np.uint32
    smartphone: np.uint32
    four_g: np.uint32
    m2m_segment: int


_AGE_CUM = np.cumsum([0.06, 0.11, 0.20, 0.20, 0.17, 0.14, 0.12])


def build_profile(
    seed: int, subs: np.ndarray, home_hex: np.ndarray, tables: ProfileTables
) -> Columns:
    """Return the profile of the given lines, a pure function of their ids.

    Parameters
    ----------
    subs : (n,) int64, global ids
    home_hex : (n,) int32, the subscriber role's own home; only its region leaves this function
    """
    columns = Columns(PROFILE, len(subs))
    a = rng.draws(seed, "profile", subs)
    b = rng.draws(seed, "profile", subs, k=1)
    tariff = np.searchsorted(tables.tariff_cum, a[:, 0], side="left").astype(np.uint8)
    segment = tables.tariff_segment[tariff]
    m2m = segment == tables.m2m_segment
    columns["region"][:] = tables.hex_region[home_hex]
    columns["tariff"][:] = tariff
    columns["segment"][:] = segment
    columns["age_band"][:] = np.searchsorted(_AGE_CUM[:-1], a[:, 1] / 4294967296.0)
    smart = a[:, 2] < tables.smartphone
    fast = b[:, 0] < tables.four_g
    five = (b[:, 0] % 100) < 6
    columns["device"][:] = np.where(smart, np.where(fast, np.where(five, 3, 2), 1), 0)
    # Lifetimes are roughly exponential with a mean of three years in a mature base (assumption).
    share = (a[:, 3].astype(np.float64) + 0.5) / 4294967296.0
    columns["tenure_days"][:] = np.minimum(np.rint(-1100.0 * np.log(share)), 9000)
    flags = np.zeros(len(subs), np.uint8)
    flags |= np.where((b[:, 1] < tables.consent) & ~m2m, CONSENT, 0).astype(np.uint8)
    flags |= np.where((b[:, 2] < tables.app) & smart & ~m2m, APP, 0).astype(np.uint8)
    flags |= np.where(b[:, 3] < tables.black, BLACK, 0).astype(np.uint8)
    flags |= np.where(m2m, M2M, 0).astype(np.uint8)
    flags |= np.where(tables.tariff_prepaid[tariff], PREPAID, 0).astype(np.uint8)
    c = rng.draws(seed, "universal control", subs)
    flags |= np.where(c[:, 0] < tables.control, CONTROL, 0).astype(np.uint8)
    columns["flags"][:] = flags
    return columns
