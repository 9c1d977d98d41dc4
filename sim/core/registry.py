"""Named plug-ins found by scanning a package, in the order of their names.

It owns the scan and the stable 32-bit ids; adding an entry moves no other entry's id.  It must
not know what a plug-in does.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Generic, TypeVar

from sim.core.rng import name_id

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name; closed once a run is built."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register an entry; two of one name, or two names of one id, are an error."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name} is registered twice")
        taken = {name_id(f"{self.kind}:{other}"): other for other in self._entries}
        clash = taken.get(name_id(f"{self.kind}:{name}"))
        if clash:
            raise ValueError(f"{self.kind} {name} and {clash} share an id: rename one")
        self._entries[name] = entry
        return entry

    def scan(self, package: ModuleType) -> None:
        """Import every module of a package, so that its entries register themselves."""
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
            importlib.import_module(f"{package.__name__}.{info.name}")

    def items(self) -> list[tuple[str, T]]:
        """Return the entries sorted by name."""
        return sorted(self._entries.items())

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        return name in self._entries
