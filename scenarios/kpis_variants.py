"""Headline figures of tests of variants: arm against arm, with intervals.

It owns the estimand: among the winners who were treated, each arm less the first one.  Lines are
dealt to arms by lot, so arms differ by their variants alone.  It must not know how a line is dealt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scenarios.estimates import Sums, difference_of_means, difference_of_shares, rounded, share
from scenarios.kpis_cases import PER, TREATED, CaseInfo, arm


def variants(
    totals: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]],
    infos: Mapping[str, CaseInfo],
) -> dict[str, Any]:
    """Return `variants` of kpis.json: test -> arms, and each arm less the first.

    `margin` is per 1,000 treated winners within the horizon, as of `uplift`; `conversion` the share
    of them who bought.
    """
    tests: dict[str, dict[int, list[int]]] = {}
    for i, name in enumerate(labels["use_case"]):
        info = infos.get(name)
        if info is not None and info.test:
            tests.setdefault(info.test, {}).setdefault(info.arm, []).append(i)
    out: dict[str, Any] = {}
    for test, arms in sorted(tests.items()):
        found = {number: _arm(totals, labels, cases) for number, cases in sorted(arms.items())}
        base, *others = found
        out[test] = {
            "arms": {str(number): told for number, (told, _, _) in found.items()},
            "against": base,
            "differences": {
                str(number): _difference(found[number][1:], found[base][1:]) for number in others
            },
        }
    return out


def _arm(
    totals: Mapping[str, np.ndarray], labels: Mapping[str, Sequence[str]], cases: Sequence[int]
) -> tuple[dict[str, Any], Sums, int]:
    """Return the figures of an arm, the sums of its treated winners, and their buyers."""
    parts = [arm(totals, i, TREATED) for i in cases]
    sums = Sums(sum(p.n for p in parts), sum(p.total for p in parts), sum(p.squares for p in parts))
    bought = sum(int(totals["exp_bought"][i, TREATED]) for i in cases)
    buyers = share(bought, sums.n)
    told = {
        "use_cases": [labels["use_case"][i] for i in cases],
        "n": sums.n,
        "margin": rounded(sums.mean * PER, 3) if sums.n else None,
        "conversion": rounded(buyers.value),
        "conversion_low": rounded(buyers.low),
        "conversion_high": rounded(buyers.high),
    }
    return told, sums, bought


def _difference(one: tuple[Sums, int], base: tuple[Sums, int]) -> dict[str, Any]:
    money = difference_of_means(one[0], base[0])
    gap = difference_of_shares(one[1], one[0].n, base[1], base[0].n)
    scaled = [None if x is None else rounded(x * PER, 3)
              for x in (money.value, money.low, money.high, money.detectable)]  # fmt: skip
    return {
        "margin": {
            "value": scaled[0], "low": scaled[1], "high": scaled[2], "detectable": scaled[3],
            "n": money.n, "verdict": money.verdict,
        },
        "conversion": {
            "value": rounded(gap.value), "low": rounded(gap.low), "high": rounded(gap.high),
            "n": gap.n,
        },
    }  # fmt: skip
