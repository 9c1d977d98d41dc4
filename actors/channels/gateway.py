"""The channel queue: senders, agents or desks that serve by priority, in exact time.

It owns the waiting messages of every channel and the order in which they leave.  A message that
comes after a sending has begun cannot displace it.  It must not know what is sent, nor to whom.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from sim.core.histogram import bucket_of
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, stream

S_TRANSIT = stream("transit of a message")


@kernel
def before(q, a, b):
    """Return whether waiting message `a` is served before `b`: priority, then time, then key."""
    if q.priority_q[a] != q.priority_q[b]:
        return q.priority_q[a] > q.priority_q[b]
    if q.ts_ms[a] != q.ts_ms[b]:
        return q.ts_ms[a] < q.ts_ms[b]
    return q.key[a] < q.key[b]


@kernel
def push(heap, n, q, item):
    """Put an item on a heap of `n` and return the new size."""
    k = n
    heap[k] = item
    while k > 0 and before(q, heap[k], heap[(k - 1) // 2]):
        parent = (k - 1) // 2
        heap[k], heap[parent] = heap[parent], heap[k]
        k = parent
    return n + 1


@kernel
def sift(heap, n, q):
    """Move the last of `n` items to the top and restore the heap; return the new size."""
    n -= 1
    heap[0] = heap[n]
    k = 0
    while True:
        child = 2 * k + 1
        if child >= n:
            break
        if child + 1 < n and before(q, heap[child + 1], heap[child]):
            child += 1
        if not before(q, heap[child], heap[k]):
            break
        heap[k], heap[child] = heap[child], heap[k]
        k = child
    return n


@kernel
def give_back(free_us, until_us):
    """Let the server that is free first work until a moment; `free_us` stays a min-heap."""
    k = 0
    n = free_us.shape[0]
    while True:
        child = 2 * k + 1
        if child >= n:
            break
        if child + 1 < n and free_us[child + 1] < free_us[child]:
            child += 1
        if until_us <= free_us[child]:
            break
        free_us[k] = free_us[child]
        k = child
    free_us[k] = until_us


@kernel
def serve(t, channel, q, order, n, heap, free_us, end_ms, dark_from, dark_to, out, n_out, c):
    """Serve one channel up to the end of a tick.

    The server that is free first takes the most urgent message that has come by then, works for
    one over the channel's rate or for the time of the contact, and goes on.  Messages too old
    when their turn comes expire; a full queue turns the newcomer away.

    Parameters
    ----------
    q : waiting messages and newcomers of all channels, `Intent` columns
    order : (n,) int64, rows of this channel, sorted by (ts_ms, key); those not before `end_ms`
        are left waiting
    heap : (n,) int64 scratch
    free_us : (n_servers,) int64, min-heap of the moments at which servers are free, us; mutated
    dark_from, dark_to : outage of the channel, ms; nothing is sent in it
    out, n_out : `Delivery` columns with room, and their fill

    Returns
    -------
    n_out, n_wait : new values; waiting rows are left in `heap[:n_wait]`
    """
    size = 0
    k = 0
    clock_us = np.int64(0)
    while True:
        # A server that has been idle is free since long ago: the clock of the queue goes on.
        now_us = max(free_us[0], clock_us)
        if size == 0:
            if k >= n or q.ts_ms[order[k]] >= end_ms:
                break
            now_us = max(now_us, q.ts_ms[order[k]] * 1000)
        if dark_from <= now_us // 1000 < dark_to:
            now_us = dark_to * 1000
        if now_us >= end_ms * 1000:
            break
        clock_us = now_us
        while k < n and q.ts_ms[order[k]] * 1000 <= now_us:
            if size >= t.queue_max[channel]:
                n_out = report(out, n_out, q, order[k], m.DROPPED, now_us // 1000, now_us // 1000)
                c.channel_dropped[channel] += 1
            else:
                size = push(heap, size, q, order[k])
            k += 1
        row = heap[0]
        size = sift(heap, size, q)
        sent_ms = now_us // 1000
        if q.expires_ms[row] < sent_ms:
            n_out = report(out, n_out, q, row, m.EXPIRED, sent_ms, sent_ms)
            c.channel_expired[channel] += 1
            continue
        n_out, work_us = transmit(t, channel, q, row, sent_ms, out, n_out, c)
        give_back(free_us, now_us + work_us)
        c.channel_busy_us[channel] += work_us // free_us.shape[0]
    while k < n:
        heap[size] = order[k]
        size += 1
        k += 1
    return n_out, size


@kernel
def transmit(t, channel, q, row, sent_ms, out, n_out, c):
    """Send one message: cost, transit, and whether it arrives.

    Returns
    -------
    n_out, work_us : the new fill, and how long a server is busy with it
    """
    a, b, d, _ = draw_cause(
        t.seed,
        S_TRANSIT,
        q.sub[row],
        np.uint32(q.key[row] & np.uint64(0xFFFFFFFF)),
        q.trigger_ms[row] // 1000,
        0,
    )
    transit = np.int64(quantile(t.latency_ms[channel], a))
    failed = b < t.failure[channel]
    work_us = np.int64(t.step_us[channel])
    if work_us == 0:
        contact_ms = np.int64(t.failed_ms[channel])
        if not failed:
            contact_ms = np.int64(quantile(t.duration_ms[channel], d))
        transit += contact_ms
        work_us = contact_ms * np.int64(t.stretch_q[channel]) // 1024 * 1000
    wait = max(sent_ms - q.ts_ms[row], 0)
    c.channel_sent[channel] += 1
    c.channel_cost_minor[channel] += t.cost_minor[channel]
    c.channel_queue_ms[channel, bucket_of(t.borders, wait)] += 1
    if not t.session[channel]:
        # What waits for a person says nothing of how fast the engine and its channels are.
        c.latency_channel_ms[bucket_of(t.borders, wait)] += 1
        c.latency_event_to_send_ms[bucket_of(t.borders, max(sent_ms - q.trigger_ms[row], 0))] += 1
    if failed:
        c.channel_failed[channel] += 1
        return report(out, n_out, q, row, m.FAILED, sent_ms, sent_ms + transit), work_us
    c.channel_delivered[channel] += 1
    return report(out, n_out, q, row, m.DELIVERED, sent_ms, sent_ms + transit), work_us


@kernel
def report(out, n, q, row, status, sent_ms, ts_ms):
    """Write one `Delivery` row and return the new fill."""
    out.sub[n] = q.sub[row]
    out.ts_ms[n] = ts_ms
    out.use_case[n] = q.use_case[row]
    out.channel[n] = q.channel[row]
    out.status[n] = status
    out.trigger_ms[n] = q.trigger_ms[row]
    out.sent_ms[n] = sent_ms
    return n + 1
