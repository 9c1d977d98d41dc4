"""The register of faults that the suite must handle: each row once, by the name tests refer to.

`@pytest.mark.fault("C2")` on a test says that it shows row C2.  A row counts as handled in a run
where at least one such test passed and none failed; `tests/conftest.py` prints the count.
"""

from __future__ import annotations

from collections.abc import Iterable

ROWS = {
    "A1": "a host dies in the middle of a tick",
    "A2": "a host dies while it writes its part of a checkpoint",
    "A3": "a host dies while it restores",
    "A4": "all hosts die at once",
    "A5": "a host hangs",
    "A6": "the code of a role raises",
    "A7": "a node is lost",
    "A8": "a node is cut off, not dead",
    "A9": "the head of the cluster dies",
    "A10": "a foreign or dead cluster lies about",
    "A11": "fewer or other machines on resume",
    "A12": "a global role dies",
    "A13": "a tick that ends its host every time",
    "B2": "Ctrl-C, once and twice",
    "B3": "a scheduler stops the job",
    "B7": "processes left behind",
    "C1": "newest part of a checkpoint truncated or empty",
    "C2": "a bit of a checkpoint flipped",
    "C3": "manifest of a checkpoint damaged",
    "C4": "no checkpoint usable",
    "C5": "disk full while saving",
    "C6": "disk full while writing outputs",
    "C7": "folder not writable, or not a folder",
    "C8": "outputs damaged later",
    "C9": "growth over many checkpoints",
    "C10": "a checkpoint of another version",
    "C11": "temporary folder fills",
    "D2": "the scenario cannot fit",
    "D7": "a server at three times its rate",
    "E1": "recorded rows twice",
    "E2": "one id with two contents",
    "E3": "out of order within the bound",
    "E4": "later than the bound",
    "E5": "clock faults at the source",
    "E6": "unknown numbers",
    "E7": "wrong unit of time",
    "E8": "nothing there",
    "E9": "a gap",
    "E10": "a file changes while it is read",
    "E11": "larger than memory",
    "E12": "a kill in the middle of a replay",
    "F1": "byte order marks, line ends, quotes",
    "F2": "another encoding",
    "F3": "another dialect",
    "F4": "broken rows",
    "F5": "columns missing, twice, unknown",
    "F6": "cut at the end",
    "F7": "numbers that are names",
    "F8": "compression bombs",
    "F9": "broken Parquet",
    "F10": "drifting Parquet",
    "F11": "code in data",
    "F12": "paths that leave",
    "G1": "an unknown key",
    "G2": "the same key twice",
    "G3": "words that change",
    "G4": "out of range, wrong unit",
    "G5": "YAML bombs",
    "G6": "tags that call",
    "G7": "extends that leads nowhere",
    "G8": "references that lead nowhere",
    "G9": "several faults at once",
    "G10": "extremes that are legal",
    "H1": "not a number",
    "H2": "a forbidden sign",
    "H4": "fractions of a minor unit",
    "H5": "two debits in one millisecond",
    "H6": "the ledger lies",
    "H7": "a row is lost or doubled inside",
    "H9": "an award is taken back",
    "I1": "self-crossing polygon",
    "I2": "no polygon",
    "I3": "hole",
    "I4": "across 180 degrees",
    "I5": "latitude and longitude swapped",
    "I6": "position or resolution out of range",
    "I7": "fence too small, too large",
    "I8": "too many corners or hexes",
    "I9": "wrong cells",
    "K1": "no token, a wrong token, the token in the address",
    "K2": "a large body",
    "K3": "wrong JSON",
    "K4": "hostile XML",
    "K5": "the XML of a service, and what is wrong with it",
    "K6": "a slow client",
    "K7": "a request twice",
    "K8": "an unknown customer",
    "K9": "the engine of a server dies",
    "K10": "looking around",
}
"""Row -> what goes wrong.

Letters: A hosts and nodes, B driver and signals, C our own files, D limits, E recorded events, F
files of others, G scenarios, H numbers and the ledger, I geography, K the inbound API.
"""


def tally(outcomes: Iterable[tuple[str, bool]]) -> tuple[list[str], list[str]]:
    """Return (handled, unhandled) rows, in the order of the register, of (row, passed) of tests."""
    passed: dict[str, bool] = {}
    for row, good in outcomes:
        passed[row] = passed.get(row, True) and good
    handled = [row for row in ROWS if passed.get(row)]
    return handled, [row for row in ROWS if row not in handled]
