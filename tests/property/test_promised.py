"""Which answer to come serves a need by itself, against a search in plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.subscribers.state import EXPOSURE
from actors.subscribers.truth import promised
from sim.core.columns import Columns
from tests.factories import default_world

N_CASES, N_NEEDS = 5, 3
ANSWERS = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(0, N_CASES - 1),
        st.sampled_from([m.ACCEPT, m.ACCEPT, m.CLICK, m.OPT_OUT]), st.sampled_from([100, 200]),
        st.integers(0, 6),
    ), max_size=24,
)  # fmt: skip
"""Line, use case, answer, birth of the need, moment: few values, so that ties and matches occur."""


@settings(max_examples=300, deadline=None)
@given(
    old=ANSWERS, new=ANSWERS, needs=st.lists(st.integers(0, N_NEEDS - 1), min_size=N_CASES,
                                             max_size=N_CASES),
    sub=st.integers(0, 4), kind=st.integers(0, N_NEEDS - 1), born=st.sampled_from([100, 200]),
)  # fmt: skip
def test_the_earliest_acceptance_of_the_same_need_serves_it(
    old: list[tuple[int, ...]], new: list[tuple[int, ...]], needs: list[int], sub: int, kind: int,
    born: int,
) -> None:  # fmt: skip
    """Answers of earlier ticks lie sorted by line, those of this tick behind them, the line's last.

    Of another line, another need or an earlier birth none counts, nor what is no acceptance.
    """
    before = sorted(old, key=lambda row: row[0])
    now = sorted((row for row in new if row[0] <= sub), key=lambda row: row[0])
    rows = before + now
    pool = Columns(EXPOSURE, max(len(rows), 1))
    for name, values in zip(EXPOSURE.names, zip(*rows, strict=True), strict=bool(rows)):
        pool[name][: len(rows)] = values
    tables = default_world().subscribers.tables
    case_need = np.zeros_like(tables.case_need)
    case_need[:N_CASES] = needs
    found = promised(
        tables._replace(case_need=case_need), pool.view, len(before), len(rows), sub, kind, born
    )
    moments = [
        moment for line, case, answer, birth, moment in rows
        if line == sub and answer == m.ACCEPT and needs[case] == kind and birth == born
    ]  # fmt: skip
    if not moments:
        assert found == -1
        return
    line, case, answer, birth, moment = rows[found]
    assert (line, answer, birth, needs[case]) == (sub, m.ACCEPT, born, kind)
    assert moment == min(moments)
