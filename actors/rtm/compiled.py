"""The rules of a run with their triggers, and the scan kernel with these compiled into it.

It owns that a set of rules is compiled once in a process.  It must not know a line.
"""

from __future__ import annotations

import functools
from typing import Any

from actors.rtm.dispatch import Rule
from actors.rtm.hysteresis import make_back
from actors.rtm.scan import make_scan
from actors.rtm.triggers import registry

Named = tuple[tuple[str, str, tuple[int, ...], bool], ...]
"""Rules as (label, trigger, options, whether the value must go back before the next hit)."""


@functools.lru_cache(maxsize=8)
def scan_for(rules: Named) -> Any:
    """Return the scan kernel of a set of rules, compiled once in a process."""
    chain = rules_of(rules)
    back = make_back([(r.trigger, rearms) for r, (*_, rearms) in zip(chain, rules, strict=True)])
    return make_scan(chain, back)


def rules_of(rules: Named) -> list[Rule]:
    """Return rules with their triggers."""
    known = registry()
    return [Rule(label, known[name], options) for label, name, options, _ in rules]
