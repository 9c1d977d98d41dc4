"""Scenarios, catalogues, studies and the command line: the composition root.

`from scenarios import load` is the way in; nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.api import LoadedScenario
    from scenarios.loader import load
    from scenarios.models import Scenario

__all__ = ["LoadedScenario", "Scenario", "load"]

_HOMES = {"load": "loader", "LoadedScenario": "api", "Scenario": "models"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"scenarios.{home}"), name)
