"""The timeline and the auditor, alone."""

from __future__ import annotations

import numpy as np
import pytest

from sim.control.timeline import Entry, Timeline
from sim.core.checks import Equal, Stock, Sum
from sim.core.errors import InvariantError
from sim.record.audit import Auditor

MINUTE = 60_000


def test_a_command_reaches_the_tick_that_contains_its_moment() -> None:
    """An entry at the border belongs to the tick that begins there; each comes once."""
    timeline = Timeline([
        Entry(15 * MINUTE, "rtm_off", -1, 0), Entry(0, "cell_outage", 4, 99),
        Entry(29 * MINUTE, "stop", -1, 0),
    ])  # fmt: skip
    assert timeline.advance(15 * MINUTE) == (("cell_outage", 4, 99),)
    assert timeline.advance(30 * MINUTE) == (("rtm_off", -1, 0), ("stop", -1, 0))
    assert timeline.advance(45 * MINUTE) == ()
    assert timeline.advance(45 * MINUTE) == ()


def test_commands_of_one_moment_come_in_an_order_of_their_own() -> None:
    """By verb and target, whatever the order in which they were written."""
    entries = [Entry(5, "stop", 1, 0), Entry(5, "cell_outage", 9, 0), Entry(5, "cell_outage", 2, 0)]
    wanted = (("cell_outage", 2, 0), ("cell_outage", 9, 0), ("stop", 1, 0))
    assert Timeline(entries).advance(10) == wanted
    assert Timeline(entries[::-1]).advance(10) == wanted


def test_a_resumed_run_is_not_told_of_the_past() -> None:
    """Advanced to the tick of a checkpoint, a new timeline gives only what is still to come."""
    timeline = Timeline([Entry(5, "rtm_off", -1, 0), Entry(25, "rtm_on", -1, 0)])
    timeline.advance(20)
    assert timeline.advance(30) == (("rtm_on", -1, 0),)


CHECKS = (
    Stock("money", "money", plus=("earned", ("gifts", 1)), minus=("spent",)),
    Equal("asked = given", ("asked",), ("given", "denied"), lanes=True),
    Equal("never", ("breaches",)),
    Sum("people", ("here", "gone"), "all"),
)


def tally(**changes: object) -> dict[str, np.ndarray]:
    """Return the counts of a tick in which the books balance, with changes."""
    counts = {"earned": 5, "gifts": [9, 2], "spent": 3, "asked": [4, 6], "given": [4, 1],
              "denied": [0, 5], "breaches": 0, **changes}  # fmt: skip
    return {name: np.atleast_1d(np.array(value, np.int64)) for name, value in counts.items()}


LEDGER = {"money": 14, "here": 3, "gone": 4, "all": 7}


def test_books_that_balance_pass() -> None:
    """10 + 5 + 2 - 3 = 14, lane by lane asked = given + denied, nothing never, 3 + 4 = 7."""
    auditor = Auditor(CHECKS, {"money": 10})
    results = auditor.run(0, tally(), LEDGER)
    assert [(name, left, right) for name, left, right, _ in results] == [
        ("money", 14, 14), ("asked = given", 10, 10), ("never", 0, 0), ("people", 7, 7)
    ]  # fmt: skip
    assert all(ok for *_, ok in results) and auditor.n_checks == 4
    auditor.require(0, results)


@pytest.mark.parametrize(
    ("name", "counts", "ledger"),
    [
        ("money", {"earned": 6}, {}),
        ("money", {"gifts": [9, 3]}, {}),
        ("money", {}, {"money": 15}),
        ("asked = given", {"denied": [1, 4]}, {}),
        ("never", {"breaches": 1}, {}),
        ("people", {}, {"here": 2}),
    ],
)
def test_the_auditor_catches_a_planted_difference(name, counts, ledger) -> None:
    """By name, tick and difference; a swap between lanes that sums to nothing is caught too."""
    auditor = Auditor(CHECKS, {"money": 10})
    results = auditor.run(4, tally(**counts), {**LEDGER, **ledger})
    assert [n for n, *_, ok in results if not ok] == [name]
    with pytest.raises(InvariantError, match=f"the books do not balance: {name} ") as caught:
        auditor.require(4, results)
    assert caught.value.details["tick"] == 4


def test_a_stock_goes_on_from_what_was_found() -> None:
    """A leak is told once, at its tick; the next tick is judged by itself."""
    auditor = Auditor(CHECKS, {"money": 10})
    assert not auditor.run(0, tally(), {**LEDGER, "money": 15})[0][3]
    assert auditor.run(1, tally(), {**LEDGER, "money": 19})[0][3]
