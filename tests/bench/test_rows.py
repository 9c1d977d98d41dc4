"""Every group of rows of the benchmark, in its quick size.  Times are told, never asserted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scenarios.bench import session
from scenarios.bench.rows import GROUPS, Group, Options
from scenarios.bench.table import render


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_group_is_measured_or_says_why_not(group: Group, tmp_path: Path) -> None:
    """Each row has samples or a reason; the document and its page can be written and read."""
    lines = int(os.environ.get("BENCH_LINES", "0"))
    told = session.run([group], Options(quick=True, lines=lines))
    print("\n" + render(told))
    for row in told["rows"]:
        assert row["n"] > 0 or row["reason"], row["row"]
        assert not row["reason"].startswith("failed"), row["reason"]
    paths = session.write(told, tmp_path)
    assert json.loads(paths[0].read_text())["rows"] == json.loads(json.dumps(told["rows"]))
