"""The compiled station, held to the exact numbers by simulation: one family each, by its rules."""

from pathlib import Path

import pytest

from scenarios.validation_cases.run import validate_set
from scenarios.validation_cases.table import read_cases

FILE = Path(__file__).parent.parent / "data" / "queueing" / "cases.csv"
ROWS = read_cases(FILE)
CHOSEN = (
    "MM1-02", "MMC-02", "MMCM-01", "MMCM-02", "CCEA-01", "CCEA-03", "ERLB-03", "ERLBI-03",
    "MMCK-02", "MG1-03", "MD1T-01", "MDC-02", "BATCH-01", "PRIO-01", "PRIO-03", "PRIO-05",
    "GIM1-02", "TANDEM-01", "FJ-01",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_the_simulation_meets_the_formula(name):
    """Estimate within tolerance, 99 % interval narrow enough, within four standard errors."""
    rows = [case for case in ROWS if case.set_id == name]
    assert rows
    for verdict in validate_set(rows):
        assert verdict.verdict == "pass", (verdict.case.case_id, verdict.reason)
        assert "simulation" in verdict.method
