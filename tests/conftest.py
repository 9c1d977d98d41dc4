"""What every test shares: marks, hypothesis profiles, the switch for goldens, faults told."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import faults

ROOT = Path(__file__).resolve().parents[1]

# A test that fails once in a while is a determinism bug, so the examples are the same on every run;
# the long suites alone look further each time.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=50, derandomize=True, **_COMMON)
settings.register_profile("soak", max_examples=5_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Ray's workers are nice by default: beside other tests they would starve.  And what has lost its
# head waits a minute for it to come back.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "10")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--regenerate`, which `make golden` passes."""
    parser.addoption("--regenerate", action="store_true", help="rewrite tests/golden/*.json")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests/bench, put all that starts Ray first, note the rows of faults."""
    for item in items:
        for mark in item.iter_markers("fault"):
            for row in mark.args:
                if row not in faults.ROWS:
                    raise pytest.UsageError(f"{item.nodeid}: no row {row!r} in tests/faults.py")
                item.user_properties.append(("fault", row))
        if ROOT / "tests" / "bench" in item.path.parents:
            item.add_marker("bench")
        elif item.get_closest_marker("ray") and not starts_ray(item.path):
            raise pytest.UsageError(f"{item.nodeid}: the name of a file that starts Ray says so")
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


def starts_ray(path: Path) -> bool:
    """Return whether the name of a file says that its tests start Ray."""
    return "ray" in path.stem.split("_")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files, whose tests share worlds, and all that starts Ray to one.

    Where a test starts Ray its file has the word in its name: what schedules does not see marks.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "ray" if starts_ray(Path(file)) else file

    return ByFile(config, log)


def _fault_outcomes(reporter: Any) -> Iterator[tuple[str, bool]]:
    """Give (row, passed) of every marked test that ran, those of other workers included."""
    for category, passed in (
        ("passed", True), ("xpassed", True), ("failed", False), ("error", False), ("xfailed", False)
    ):  # fmt: skip
        for report in reporter.stats.get(category, ()):
            for name, row in getattr(report, "user_properties", ()):
                if name == "fault":
                    yield row, passed


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many rows of the fault list the run showed; after a whole suite, which it did not."""
    outcomes = list(_fault_outcomes(terminalreporter))
    if not outcomes:
        return
    handled, unhandled = faults.tally(outcomes)
    line = f"faults: handled {len(handled)}/{len(faults.ROWS)}"
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS and not config.option.keyword
    if whole and unhandled:
        line += "; not handled: " + ", ".join(unhandled)
    terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def root() -> Path:
    """Give the folder of the project."""
    return ROOT


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Tell whether goldens are to be rewritten (`make golden`) and not compared."""
    return bool(request.config.getoption("--regenerate"))
