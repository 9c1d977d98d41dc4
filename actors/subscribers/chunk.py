"""How much people do: the events of a chunk of lines, counted and drawn in loops of no branch.

Draws are the larger part of a quiet line's cost, and one at a time they wait for each other.  A
chunk of lines is counted at once and all its events are drawn at once, so that the compiler puts
many draws side by side.  It owns the scratch of a chunk; it must not know what an event is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.subscribers.place import may_move
from actors.subscribers.state import (
    CHUNK_DRAWS,
    CHUNK_EVENTS,
    CHUNK_LINES,
    LIFE_HERE,
    LIFE_MASK,
    LIFE_RESERVED,
    NEVER_S,
)
from actors.subscribers.tables import N_COUNT
from sim.core.columns import Block
from sim.core.kernel import hot, kernel
from sim.core.quantiles import count
from sim.core.rng import below, draw, stream

S_COUNT = stream("number of events in an epoch")
S_EVENT = stream("one event")

CHUNK = 256
"""Lines, times epochs of a tick, that are treated at once; their scratch stays in cache."""


def scratch(blocks: dict[str, Block], n_epochs: int) -> tuple[Any, Any, Any]:
    """Return views of the lines, draws and events of a chunk, kept among a slice's blocks.

    Parameters
    ----------
    blocks : of the slice; those of a chunk are added, or replaced where a tick has more epochs
    """
    cells = max(CHUNK, n_epochs)
    most = cells * N_COUNT + 2
    views = []
    for schema, n in (
        (CHUNK_LINES, cells + 1),
        (CHUNK_DRAWS, most),
        (CHUNK_EVENTS, most),
    ):
        block = blocks.get(schema.name)
        if block is None or block.capacity < n:
            block = blocks[schema.name] = Block(schema, n)
        views.append(block.view)
    return views[0], views[1], views[2]


@hot
def put_event(d, n, sub, epoch, k):
    """List an event that is to be drawn."""
    d.sub[n] = sub
    d.epoch[n] = epoch
    d.k[n] = k


@kernel
def draw_counts(seed, sub, size, epoch_0, n_epochs, lines):
    """Draw the word of the count of each line and epoch of a chunk, by (epoch, line)."""
    for e in range(n_epochs):
        for j in range(size):
            word, _, _, _ = draw(seed, S_COUNT, sub + j, epoch_0 + e, 0)
            lines.word[e * size + j] = word


@kernel
def count_events(
    s, p, t, seed, lo, first, size, epoch_0, n_epochs, quarters, weekdays, start_ms, end_ms,
    lines, d, c,
):  # fmt: skip
    """Draw how many events each line of a chunk has in each epoch, and list them.

    A line is busy where it does more than use the network where it is: it moves, travels, has
    something planned or due, or is awake for a part of an epoch only.

    Parameters
    ----------
    first, size : local row of the chunk's first line, and its lines
    quarters, weekdays : (n_regions, n_epochs) uint8, local quarter and day of each epoch
    lines, d : scratch, written: `word`, `first`, `busy`, `two`, `many` of lines; `sub`,
        `epoch`, `k` of draws

    Returns
    -------
    n_busy, n_two, n_many : busy lines; epochs of lines with two events, and with more
    """
    end_s = end_ms // 1000
    whole = (start_ms == epoch_0 * 900_000) & (end_ms == (epoch_0 + n_epochs) * 900_000)
    draw_counts(seed, lo + first, size, epoch_0, n_epochs, lines)
    n = 0
    n_busy = n_two = n_many = 0
    at = 0
    for j in range(size):
        i = first + j
        life = s.life[i] & LIFE_MASK
        silent_s = np.int64(s.silent_s[i])
        awake = (life == LIFE_HERE) & (silent_s < end_s)
        from_ms = max(start_ms, silent_s * 1000)
        region = p.region[i]
        busy = (
            (s.due_s[i] < end_s) | (lines.wake[j] != 0) | (s.travel_s[i] != NEVER_S)
            | ((life == LIFE_RESERVED) & (silent_s < end_s))
            | (awake & ((from_ms > start_ms) | (not whole)))
        )  # fmt: skip
        for e in range(n_epochs):
            lines.first[at] = n
            quarter = quarters[region, e]
            row = t.level[s.activity[i], weekdays[region, e], quarter]
            total = count(t.counts, row, lines.word[e * size + j])
            here = awake & ((epoch_0 + e + 1) * 900_000 > from_ms)
            busy |= here & may_move(s, i, quarter)
            total = total if here else 0
            # Two are written whatever the count: most lines have no more, and which has how many
            # cannot be guessed.
            put_event(d, n, lo + i, epoch_0 + e, 0)
            put_event(d, n + 1, lo + i, epoch_0 + e, 1)
            for k in range(2, total):
                put_event(d, n + k, lo + i, epoch_0 + e, k)
            lines.two[n_two] = n
            n_two += total == 2
            lines.many[n_many] = at
            n_many += total > 2
            at += 1
            n += total
        lines.first[at] = n
        for e in range(n_epochs):
            hour = quarters[region, e] >> np.uint8(2)
            there = lines.first[at - n_epochs + e + 1] > lines.first[at - n_epochs + e]
            c.active_lines[hour] += there & (not busy)
        lines.busy[n_busy] = j
        n_busy += busy
    return n_busy, n_two, n_many


@kernel
def draw_events(seed, d, n):
    """Draw the moment and the words of `n` listed events."""
    for k in range(n):
        e0, e1, e2, e3 = draw(seed, S_EVENT, d.sub[k], d.epoch[k], d.k[k])
        d.ts_ms[k] = np.int64(d.epoch[k]) * 900_000 + below(e0, 900_000)
        d.w1[k] = e1
        d.w2[k] = e2
        d.w3[k] = e3


@kernel
def sort_events(d, lines, n, n_two, n_many):
    """Order `n` drawn events, which are listed by line and epoch, by (line, moment).

    Two events are put in order without a branch, because which comes first cannot be guessed.
    """
    for k in range(n):
        d.order[k] = k
    for x in range(n_two):
        k = np.int64(lines.two[x])
        late = np.int64(d.ts_ms[k] > d.ts_ms[k + 1])
        d.order[k] = k + late
        d.order[k + 1] = k + 1 - late
    for x in range(n_many):
        at = lines.many[x]
        first = np.int64(lines.first[at])
        for k in range(first + 1, np.int64(lines.first[at + 1])):
            ts = d.ts_ms[k]
            j = k
            while j > first and d.ts_ms[d.order[j - 1]] > ts:
                d.order[j] = d.order[j - 1]
                j -= 1
            d.order[j] = k
