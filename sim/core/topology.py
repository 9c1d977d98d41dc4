"""Roles and edges, checked before anything runs.

It owns the edge kinds and the rules that a set of roles must satisfy.  It must not know which
roles there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.core.columns import Schema
from sim.core.errors import ScenarioError

EDGE_KINDS = (
    "forward", "feedback", "exchange", "gather", "scatter", "reduce", "broadcast", "relay",
    "record",
)  # fmt: skip


@dataclass(frozen=True)
class Edge:
    """One route of one message type."""

    source: str
    target: str
    message: str
    kind: str


@dataclass(frozen=True)
class Topology:
    """The roles of a partition in forward order, the global roles, and every edge."""

    roles: tuple[str, ...]
    global_roles: tuple[str, ...]
    edges: tuple[Edge, ...]

    def check(self) -> Topology:
        """Refuse unknown roles and kinds, edges against their kind, and forward cycles."""
        known = {*self.roles, *self.global_roles, "recorder", "control"}
        for edge in self.edges:
            if edge.kind not in EDGE_KINDS:
                raise ScenarioError(f"edge kind {edge.kind} does not exist")
            for end in (edge.source, edge.target):
                if end not in known:
                    raise ScenarioError(f"edge {edge.message}: role {end} does not exist")
            self._check_kind(edge)
        return self

    def _check_kind(self, edge: Edge) -> None:
        order = {role: k for k, role in enumerate(self.roles)}
        if edge.kind == "forward":
            if edge.source not in order or edge.target not in order:
                raise ScenarioError(f"forward edge {edge.message} must join partition roles")
            if order[edge.source] >= order[edge.target]:
                raise ScenarioError(
                    f"forward edge {edge.message} from {edge.source} to {edge.target} makes a cycle"
                )
        if edge.kind == "feedback" and (
            edge.source not in order
            or edge.target not in order
            or order[edge.source] < order[edge.target]
        ):
            raise ScenarioError(f"feedback edge {edge.message} must lead to an earlier role")
        if edge.kind in ("gather", "reduce") and (
            edge.source not in order or edge.target not in self.global_roles
        ):
            raise ScenarioError(f"{edge.kind} edge {edge.message} must lead to a global role")
        if edge.kind in ("scatter", "broadcast") and (
            edge.source not in (*self.global_roles, "control") or edge.target not in order
        ):
            raise ScenarioError(f"{edge.kind} edge {edge.message} must leave a global role")


def check_contracts(
    topology: Topology, consumes: dict[str, Sequence[Schema]], produces: dict[str, Sequence[Schema]]
) -> None:
    """Refuse a role that gets or makes other messages than the edges say."""
    for role in topology.roles:
        _agree(
            role,
            "consumes",
            consumes[role],
            (e.message for e in topology.edges if e.target == role),
        )
        _agree(
            role,
            "produces",
            produces[role],
            (e.message for e in topology.edges if e.source == role),
        )


def _agree(role: str, what: str, declared: Sequence[Schema], routed: Iterable[str]) -> None:
    mine = {schema.name for schema in declared}
    edges = {name for name in routed}
    if mine - edges:
        raise ScenarioError(f"role {role} {what} {sorted(mine - edges)}, which no edge carries")
