"""The compiled queue: the station of `processes` for high rates, as loops over sorted arrivals.

It owns the recursion of Kiefer and Wolfowitz for first-come-first-served pools with patience and
a limit of places, and an event loop for classes of priority.  A test holds it to the SimPy
station event by event on the same draws.  Times are `int64` of any one unit.  It must not draw.
"""

from __future__ import annotations

import numpy as np

from sim.core.kernel import kernel

LOST, LEFT = -2, -1
"""Instead of a start of service: turned away at the door; hung up."""
FOREVER = np.int64(2**62)
"""Patience of one who never hangs up, and places of a room without limit."""


@kernel
def sink(heap, n, at):
    """Restore a heap of `n` moments after the one at `at` has grown."""
    value = heap[at]
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@kernel
def serve_fifo(arrival, service, patience, places, free, start):
    """Serve arrivals in their order by the server that is free first.

    Parameters
    ----------
    arrival : (n,) int64, rising
    service, patience : (n,) int64; a caller who would start later than its patience hangs up
    places : most callers in the system, servers included; one who finds it full is turned away.
        A limit and patience together are not supported: who hung up would have to leave the count
        before its turn
    free : (c,) int64, moment at which each server is free; a heap, mutated
    start : (n,) int64, written: start of service, `LOST` or `LEFT`
    """
    n_servers = free.shape[0]
    head = 0  # first caller that may still wait
    for i in range(arrival.shape[0]):
        now = arrival[i]
        if places < FOREVER:
            while head < i and start[head] <= now:
                head += 1
            # Starts rise among those let in, so that only callers after `head` can wait.
            waiting = 0
            k = head
            while k < i:
                waiting += start[k] > now
                k += 1
            if free[0] > now and waiting + n_servers >= places:
                start[i] = LOST
                continue
        begin = max(now, free[0])
        if begin - now > patience[i]:
            start[i] = LEFT
            continue
        start[i] = begin
        free[0] = begin + service[i]
        sink(free, n_servers, 0)


@kernel
def serve_classes(arrival, service, klass, queue, head, tail, free, start):
    """Serve arrivals by class, then by arrival; a service once begun is finished.

    Parameters
    ----------
    arrival : (n,) int64, rising
    klass : (n,) uint8, smaller is served first
    queue : (n,) int64 scratch, the next in line
    head, tail : (n_classes,) int64 scratch
    free : (c,) int64 heap, mutated
    start : (n,) int64, written
    """
    n = arrival.shape[0]
    n_servers = free.shape[0]
    head[:] = -1
    waiting = 0
    i = 0
    while i < n or waiting > 0:
        if waiting > 0 and (i >= n or free[0] <= arrival[i]):
            k = 0
            while head[k] < 0:
                k += 1
            job = head[k]
            head[k] = queue[job]
            waiting -= 1
            start[job] = max(free[0], arrival[job])
            free[0] = start[job] + service[job]
            sink(free, n_servers, 0)
            continue
        if free[0] <= arrival[i]:
            start[i] = arrival[i]
            free[0] = arrival[i] + service[i]
            sink(free, n_servers, 0)
        else:
            k = np.int64(klass[i])
            queue[i] = -1
            if head[k] < 0:
                head[k] = i
            else:
                queue[tail[k]] = i
            tail[k] = i
            waiting += 1
        i += 1


@kernel
def serve_shortest(arrival, service, coin, ends, wait):
    """Let each arrival join the shorter of two queues, each with a server of its own.

    Parameters
    ----------
    arrival : (n,) int64, rising
    coin : (n,) uint8, 1 for the second queue where both hold as many
    ends : (2, n) int64 scratch, ends of service in each queue
    wait : (n,) int64, written
    """
    gone0, gone1, came0, came1 = 0, 0, 0, 0
    for i in range(arrival.shape[0]):
        now = arrival[i]
        while gone0 < came0 and ends[0, gone0] <= now:
            gone0 += 1
        while gone1 < came1 and ends[1, gone1] <= now:
            gone1 += 1
        first, second = came0 - gone0, came1 - gone1
        if second < first or (first == second and coin[i] == 1):
            begin = now if second == 0 else ends[1, came1 - 1]
            ends[1, came1] = begin + service[i]
            came1 += 1
        else:
            begin = now if first == 0 else ends[0, came0 - 1]
            ends[0, came0] = begin + service[i]
            came0 += 1
        wait[i] = begin - now
