"""Headline figures of triggers: how many, how right, how complete, how late.

It owns what is read from the counts of judged lines.  It must not know how a hit is matched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scenarios.estimates import Estimate, ratio, rounded, share


def triggers(
    totals: Mapping[str, np.ndarray], labels: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the figures of each rule.

    `precision` and `recall` compare the hits of judged lines with those of the same rule on a
    perfect feed; `need_precision` is the share of hits at which a need of the category was alive.
    """
    out: dict[str, Any] = {}
    for i, name in enumerate(labels["trigger"]):
        hits, truth, matched, scored, needed = (
            int(totals[f"rule_{key}"][i])
            for key in ("hits", "truth", "matched", "scored", "needed")
        )
        out[name] = {
            "hits": int(totals["trigger_hits"][i]),
            "held_back": int(totals["hits_held"][i]),
            **_rate("precision", share(min(matched, hits), hits)),
            **_rate("recall", share(min(matched, truth), truth)),
            "delay_s": rounded(ratio(int(totals["rule_delay_ms"][i]) / 1000, matched), 1),
            "delay_s_n": matched,
            **_rate("need_precision", share(needed, scored)),
            "need_age_s": rounded(ratio(int(totals["rule_need_s"][i]), needed), 1),
            "need_age_s_n": needed,
        }
    return out


def _rate(name: str, estimate: Estimate) -> dict[str, Any]:
    return {
        name: rounded(estimate.value), f"{name}_low": rounded(estimate.low),
        f"{name}_high": rounded(estimate.high), f"{name}_n": estimate.n,
    }  # fmt: skip
