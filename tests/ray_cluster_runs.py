"""Runs on a Ray cluster of three nodes on this machine: a node is killed, another is cut off.

A program of its own, because Ray reads its environment once: `python -m tests.ray_cluster_runs
FOLDER [subscribers]`.  Prints one JSON document; with millions of subscribers it is the proof at
size: run it on a machine that does nothing else, on a disk with 4 GB free.  The head holds the
driver and no hosts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_AUTH_TOKEN="0123456789abcdef" * 3,
    # A lost node is seen after 1 to 5 s, not after 14 to 64.
    RAY_health_check_period_ms="500",
    RAY_health_check_timeout_ms="1000",
    RAY_health_check_failure_threshold="3",
    RAY_health_check_initial_delay_ms="1000",
)

import psutil

from sim.runtime import ray_env

ray_env.prepare("")

from ray.cluster_utils import Cluster  # noqa: E402  the environment comes first

from tests.ray_runs import digest_of  # noqa: E402  the same

TICK_OF_LOSS = 12


def raylet_of(node: Any) -> psutil.Process:
    """Return the raylet of a node of the cluster."""
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


class Losing:
    """Breaks a node at a tick, and watches what becomes of it.

    Attributes
    ----------
    nodes : node of each host in each attempt
    gap_s : longest time between two ticks from then on, s
    """

    def __init__(self, node: Any, how: str, mend_tick: int = 0) -> None:
        self.raylet = raylet_of(node)
        self.node = node.node_id
        self.how = how
        self.mend_tick = mend_tick
        self.nodes: list[list[str]] = []
        self.gap_s = 0.0
        self.at_s = 0.0
        self.ghost: list[int] = []
        self.ghost_ran_on = False
        self.done = False

    def __call__(self, index: int, outcome: Any, runtime: Any) -> None:
        """Note where hosts are; break the node at its tick; mend it later."""
        if not self.nodes or self.nodes[-1] != runtime.nodes:
            self.nodes.append(list(runtime.nodes))
        now = time.monotonic()
        if self.done:
            self.gap_s = max(self.gap_s, now - self.at_s)
        self.at_s = now
        if index == TICK_OF_LOSS and not self.done:
            self.done = True
            pids = runtime.pids()
            self.ghost = [pids[k] for k, n in enumerate(runtime.nodes) if n == self.node]
            if self.how == "kill":
                self.raylet.kill()
            else:
                self.raylet.suspend()
        if self.mend_tick and len(self.nodes) > 1 and index == self.mend_tick:
            self.mend_tick = 0
            self.ghost_ran_on = any(psutil.pid_exists(pid) for pid in self.ghost)
            self.raylet.resume()

    def told(self) -> dict[str, Any]:
        """Return what was seen."""
        return {
            "gap_s": round(self.gap_s, 2),
            "attempts": len(self.nodes),
            "lost": self.node,
            "nodes": self.nodes,
            "ghost_ran_on": self.ghost_ran_on,
        }


def main(folder: Path, subscribers: int) -> None:
    """Run undisturbed, with a node killed, and with a node cut off and mended."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": 200 << 20,
        },
    )
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=200 << 20) for _ in range(3)]
    options: dict[str, Any] = {
        "runtime": "ray", "hosts": 2, "partitions": 0 if subscribers > 200_000 else 4,
        "subscribers": subscribers, "placement.checkpoint_s": 0.2 if subscribers < 200_000 else 20,
        "record.sample": 0.1 if subscribers < 200_000 else -1,
        "placement.ray_address": cluster.address,
    }  # fmt: skip
    out: dict[str, Any] = {}
    # Hosts fill the nodes in the order of their ids; the last one has none while all three live.
    by_id = sorted(nodes, key=lambda node: node.node_id)
    for name, losing in (
        ("killed", Losing(by_id[0], "kill")),
        ("cut off", Losing(by_id[1], "stop", 40)),
    ):
        began = time.monotonic()
        manifest = digest_of(folder / name.replace(" ", "-"), on_tick=losing, **options)
        out[name] = {
            **losing.told(), "wall_s": round(time.monotonic() - began, 1),
            "digest": manifest["state_digest"], "recoveries": manifest["recoveries"],
            "checkpoints": manifest["checkpoints"],
        }  # fmt: skip
    print(json.dumps(out, indent=1))
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2_000)
