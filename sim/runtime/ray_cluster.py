"""A Ray cluster: one of our own on loopback, or a running one that the run joins.

It owns the start, the watch over the head process, the choice of a node for each host, and the
end.  It must not know what hosts do.  With `ray_runtime` it is all that imports Ray.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sim.core.errors import LimitError, ScenarioError
from sim.runtime.ray_supervisor import Identity, Supervisor, descendants, end, find, identity

OBJECT_STORE_BYTES = 512 << 20
HEAD = "gcs_server"
LOOK_S = 2.0
"""Time between two looks at the head process, s."""
FOR_THE_DRIVER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals to a group that the driver alone answers."""
END_S = 1.0
"""Time that a process gets to end once Ray has asked it to, s."""
DIAL_S = 2.0
"""Time in which the head of a joined cluster must take a connection, s."""
DEAF_S = 20.0
"""Time after which a head that takes no connection is given up; Ray ends the driver after 60, s."""


class HeadLost(LimitError):
    """The head process of the cluster is gone, and with it the cluster."""


class RayCluster:
    """The cluster of a run.

    Attributes
    ----------
    mine : whether the cluster was started here and ends with the run
    shared : whether this process was connected to it before
    node : id of the node on which this process runs
    """

    def __init__(self, address: str, *, n_actors: int) -> None:
        """Start a cluster of our own, or join the one at an address.

        A process that is connected already stays with its cluster, and leaves it to whoever
        connected it.
        """
        self.shared = ray.is_initialized()
        self.mine = not address and not self.shared
        self.supervisor = Supervisor()
        self._head: Identity | None = None
        self._looked = self._heard = time.monotonic()
        try:
            if self.mine:
                self._start(n_actors)
            elif not self.shared:
                self._join(address)
        except BaseException:
            self._end_ours()
            self.supervisor.close()
            raise
        context = ray.get_runtime_context()
        self.node: str = context.get_node_id()
        self._gcs: str = context.gcs_address

    def _start(self, n_actors: int) -> None:
        with _deaf_children():
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, n_actors),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
                # One level down: Ray opens its own folder to every user of the machine.
                _temp_dir=str(self.supervisor.folder / "r"),
            )
        mine = str(self.supervisor.folder)
        for process in descendants(psutil.Process()):
            try:
                if process.name() == HEAD and any(mine in word for word in process.cmdline()):
                    self._head = identity(process)
            except psutil.Error:
                continue

    @staticmethod
    def _join(address: str) -> None:
        """Join a cluster; ask its head for a connection first, or Ray would try for minutes."""
        reason = "" if _takes_calls(address) else "nobody takes a connection there"
        if not reason:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
                return
            except (
                ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError,
            ) as error:  # fmt: skip
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ScenarioError(
            f"no Ray cluster can be joined: {reason}", path="placement.ray_address", found=address,
            expected="HOST:PORT of a running head, this machine one of its nodes, and its token in "
            "RAY_AUTH_TOKEN",
        )  # fmt: skip

    def nodes(self) -> list[tuple[str, float]]:
        """Return (id, cores) of the living nodes that may hold hosts, in a stable order."""
        alive = sorted(
            (node["NodeID"], float(node["Resources"].get("CPU", 0)))
            for node in ray.nodes()
            if node["Alive"]
        )
        return [node for node in alive if node[1] > 0] or alive

    def check(self) -> None:
        """Raise `HeadLost` where the head process is gone; cheap enough for every wait."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        if self._head is not None:
            if find(self._head) is None:
                raise HeadLost(_LOST)
        elif _takes_calls(self._gcs):
            self._heard = now
        elif now - self._heard > DEAF_S:
            raise HeadLost(_LOST)

    def watch(self, processes: Iterable[Identity]) -> None:
        """Name processes of this machine that must not outlive the run."""
        self.supervisor.watch(processes)

    def end(self, processes: Iterable[Identity]) -> None:
        """End processes of this machine that do not end by themselves, frozen ones too."""
        end(processes, grace_s=END_S)

    def close(self) -> None:
        """Leave the cluster; end it where it is ours."""
        if self._head is not None and find(self._head) is None:
            # Without a head a shutdown waits for answers that nobody will give.
            self._end_ours()
        if not self.shared:
            ray.shutdown()
        self.supervisor.close()

    def _end_ours(self) -> None:
        mine = str(self.supervisor.folder)
        for process in descendants(psutil.Process()):
            try:
                if process.pid != self.supervisor.process.pid and any(
                    mine in word for word in process.cmdline()[1:]
                ):
                    end([identity(process)])
            except psutil.Error:
                continue


def _takes_calls(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), DIAL_S).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that are started meanwhile not hear what ends a process group.

    Ctrl-C and a scheduler's SIGTERM reach the whole group; the driver must find its hosts alive
    to save their state.  A blocked signal stays blocked in a child; nobody blocks SIGKILL.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_DRIVER)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_LOST = (
    "the head process of Ray is gone; the last checkpoint is intact: go on with --resume once "
    "there is a cluster again"
)


def place(n_hosts: int, nodes: Sequence[tuple[str, float]], avoid: set[str]) -> list[str]:
    """Return the node of each host: as many hosts to a node as its cores let it carry.

    Parameters
    ----------
    nodes : (id, cores) of living nodes
    avoid : nodes that did not answer lately; taken only where there is no other
    """
    usable = [node for node in nodes if node[0] not in avoid] or list(nodes)
    load = {name: 0 for name, _ in usable}
    for _ in range(n_hosts):
        name = min(usable, key=lambda node: ((load[node[0]] + 1) / max(node[1], 1e-9), node[0]))[0]
        load[name] += 1
    # Neighbours in the order of lines share a node.
    return [name for name, _ in usable for _ in range(load[name])]


def on_node(node: str) -> Any:
    """Return the strategy that puts an actor on a node and nowhere else."""
    return NodeAffinitySchedulingStrategy(node, soft=False)
