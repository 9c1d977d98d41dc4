"""The launch plan: which use cases, in which month, under months, teams, money and other limits.

A mixed-integer programme, solved to the end by HiGHS.  It owns the model, the price of each limit
and the frontier of value against cost.  It must not know how a value was found.

Values of use cases are taken to add up: they are shares of the joint value, so that the plan of
all of them is worth what all of them are.  The plan of a few is worth about the sum of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

STEP = 0.1
"""Part by which a limit is widened to find its price."""
FRONTIER_STEPS = 12


@dataclass(frozen=True)
class Work:
    """A use case that could be launched.

    Attributes
    ----------
    value_month : margin a month once live, money
    person_months, months : effort, and calendar time from start to launch
    wow : satisfaction gained a month, any unit
    uses : other limits -> what it takes of each while live
    """

    name: str
    value_month: float
    person_months: float
    months: float
    wow: float = 0.0
    uses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Terms:
    """Under which terms is planned.

    Attributes
    ----------
    months : horizon
    people : person-months that the teams can give in a month
    person_month : cost of one, money
    budget : money for building; inf: no limit
    foundation : person-months before anything else can begin (CEP and profile)
    discount_year : yearly rate of interest
    limits : other limits -> how much there is
    """

    months: int = 24
    people: float = 40.0
    person_month: float = 500_000.0
    budget: float = math.inf
    foundation: float = 120.0
    discount_year: float = 0.15
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def foundation_months(self) -> int:
        """Return the months that all teams together need for the foundation."""
        return math.ceil(self.foundation / self.people) if self.foundation else 0

    def factor(self, month: float) -> float:
        """Return what money of a month is worth today."""
        return (1 + self.discount_year) ** (-month / 12)


@dataclass(frozen=True)
class Start:
    """One launch of a plan: months from today, and its value today less its cost."""

    name: str
    begin: int
    live: int
    npv: float
    payback: int | None


@dataclass(frozen=True)
class Plan:
    """What to build when.

    Attributes
    ----------
    npv : value today of all launches, less that of building them and the foundation
    cost : money for building, foundation included, not discounted
    """

    starts: tuple[Start, ...]
    npv: float
    cost: float
    wow: float

    @property
    def names(self) -> tuple[str, ...]:
        """Return what is launched, in the order of its beginning."""
        return tuple(start.name for start in self.starts)


def _length(work: Work) -> int:
    return max(math.ceil(work.months), 1)


def npv_of(work: Work, begin: int, terms: Terms) -> float:
    """Return the value today of a use case begun in a month, within the horizon."""
    length = _length(work)
    build = sum(
        work.person_months / length * terms.person_month * terms.factor(begin + k)
        for k in range(length)
    )
    gain = sum(
        work.value_month * terms.factor(month + 1) for month in range(begin + length, terms.months)
    )
    return gain - build


def payback(work: Work, begin: int, terms: Terms) -> int | None:
    """Return the month by whose end the value has paid for the building; None: never in time."""
    cost = work.person_months * terms.person_month
    earned = 0.0
    for month in range(begin + _length(work), terms.months):
        earned += work.value_month
        if earned >= cost:
            return month + 1
    return None


def best_plan(works: Sequence[Work], terms: Terms) -> Plan:
    """Return the plan of the highest value; nothing at all where nothing pays.

    Raises
    ------
    ArithmeticError : the solver did not come to an end
    """
    first = terms.foundation_months
    slots = [
        (j, begin) for j, work in enumerate(works)
        for begin in range(first, terms.months - _length(work))
    ]  # fmt: skip
    ground = terms.foundation * terms.person_month * terms.factor(first / 2)
    if not slots:
        return Plan((), 0.0, 0.0, 0.0)
    # The last variable is the foundation: without it nothing can be launched.
    gain = np.array([npv_of(works[j], begin, terms) for j, begin in slots] + [-ground])
    rows, upper = _limits(works, terms, slots)
    found = milp(
        -gain, integrality=np.ones(len(gain)), bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(row, -np.inf, most) for row, most in zip(rows, upper, strict=True)
        ],
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    if not found.success:
        raise ArithmeticError(f"no plan: {found.message}")
    taken = [slots[k] for k in np.flatnonzero(np.round(found.x[:-1]))]
    return _plan(works, terms, taken)


def _limits(
    works: Sequence[Work], terms: Terms, slots: Sequence[tuple[int, int]]
) -> tuple[list[np.ndarray], list[float]]:
    """Return the rows and bounds: each once, after the foundation, teams, money, other limits."""
    n = len(slots) + 1
    whose = np.array([j for j, _ in slots])
    rows, upper = [], []

    def add(row: np.ndarray, most: float) -> None:
        if math.isfinite(most) and row.any():
            rows.append(row)
            upper.append(most)

    for j in range(len(works)):
        row = np.zeros(n)
        row[:-1] = whose == j
        row[-1] = -1.0
        add(row, 0.0)
    for month in range(terms.months):
        row = np.zeros(n)
        for k, (j, begin) in enumerate(slots):
            length = _length(works[j])
            if begin <= month < begin + length:
                row[k] = works[j].person_months / length
        add(row, terms.people)
    effort = np.array([works[j].person_months for j, _ in slots] + [terms.foundation])
    add(effort * terms.person_month, terms.budget)
    for name, most in terms.limits.items():
        row = np.zeros(n)
        row[:-1] = [works[j].uses.get(name, 0.0) for j, _ in slots]
        add(row, most)
    return rows, upper


def _plan(works: Sequence[Work], terms: Terms, taken: Sequence[tuple[int, int]]) -> Plan:
    if not taken:
        return Plan((), 0.0, 0.0, 0.0)
    starts = sorted(
        (
            Start(works[j].name, begin, begin + _length(works[j]), npv_of(works[j], begin, terms),
                  payback(works[j], begin, terms))
            for j, begin in taken
        ),
        key=lambda start: (start.begin, -start.npv),
    )  # fmt: skip
    effort = terms.foundation + math.fsum(works[j].person_months for j, _ in taken)
    ground = terms.foundation * terms.person_month * terms.factor(terms.foundation_months / 2)
    return Plan(
        tuple(starts), math.fsum(s.npv for s in starts) - ground, effort * terms.person_month,
        math.fsum(works[j].wow for j, _ in taken),
    )  # fmt: skip


def prices(works: Sequence[Work], terms: Terms, plan: Plan) -> dict[str, float]:
    """Return what each limit costs: value gained by a unit more of it; 0 where it is slack.

    A unit is a person-month a month for `people`, money for `budget`, a month for `months`.
    """
    wider = {
        "people": (replace(terms, people=terms.people * (1 + STEP)), terms.people * STEP),
        "months": (replace(terms, months=terms.months + 1), 1.0),
    }
    if math.isfinite(terms.budget):
        more = terms.budget * (1 + STEP)
        wider["budget"] = replace(terms, budget=more), terms.budget * STEP
    for name, most in terms.limits.items():
        limits = {**terms.limits, name: most * (1 + STEP)}
        wider[name] = replace(terms, limits=limits), most * STEP
    return {
        name: max(best_plan(works, widened).npv - plan.npv, 0.0) / step if step else 0.0
        for name, (widened, step) in wider.items()
    }


def frontier(works: Sequence[Work], terms: Terms, most: float) -> list[Plan]:
    """Return the best plans for budgets from nothing to `most`, each plan once."""
    out: list[Plan] = []
    for k in range(FRONTIER_STEPS + 1):
        plan = best_plan(works, replace(terms, budget=most * k / FRONTIER_STEPS))
        if not out or plan.names != out[-1].names:
            out.append(plan)
    return out
