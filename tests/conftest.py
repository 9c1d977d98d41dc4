"""What every test shares: marks by folder, hypothesis profiles, the switch for goldens."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# A test that fails once in a while is a determinism bug, so the examples are the same on every run;
# the long suites alone look further each time.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=50, derandomize=True, **_COMMON)
settings.register_profile("soak", max_examples=5_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--regenerate`, which `make golden` passes."""
    parser.addoption("--regenerate", action="store_true", help="rewrite tests/golden/*.json")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/bench, and keep all that starts Ray in one worker."""
    for item in items:
        if ROOT / "tests" / "bench" in item.path.parents:
            item.add_marker("bench")
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Give the folder of the project."""
    return ROOT


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Tell whether goldens are to be rewritten (`make golden`) and not compared."""
    return bool(request.config.getoption("--regenerate"))
