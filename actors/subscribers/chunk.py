"""How much people do: the events of a chunk of lines, counted and drawn in loops of no branch.

Draws are the larger part of a quiet line's cost, and one at a time they wait for each other.  A
chunk of lines is counted at once and all its events are drawn at once, so that the compiler puts
many draws side by side.  It owns the scratch of a chunk; it must not know what an event is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.subscribers.place import may_move
from actors.subscribers.state import LIFE_HERE, LIFE_MASK, LIFE_RESERVED
from actors.subscribers.tables import N_COUNT
from sim.core.columns import Block, Field, Schema
from sim.core.kernel import kernel
from sim.core.quantiles import count
from sim.core.rng import below, draw, stream

S_COUNT = stream("number of events in an epoch")
S_EVENT = stream("one event")

CHUNK = 256
"""Lines, times epochs of a tick, that are treated at once; their scratch stays in cache."""
KINDS = ("voice", "sms", "data", "location", "visit")

LINES = Schema(
    "ChunkLines",
    (
        Field("word", "u4", "1", "draw of the count, by (epoch, line)"),
        Field("first", "i4", "1", "first event, by (line, epoch)"),
        Field("wake", "u1", "bool", "an answer is due"),
        Field("active", "i4", "1", "lines of the chunk that do anything in this tick"),
    ),
    doc="scratch: lines of a chunk",
)
DRAWS = Schema(
    "ChunkDraws",
    (
        Field("sub", "u4", "1", "global id of the line"),
        Field("epoch", "u4", "1", "epoch of the event"),
        Field("k", "u4", "1", "number of the event in its epoch"),
        Field("ts_ms", "i8", "ms", "moment"),
        Field("w1", "u4", "1", "word of the draw"),
        Field("w2", "u4", "1", "word of the draw"),
        Field("w3", "u4", "1", "word of the draw"),
    ),
    doc="scratch: draws of the events of a chunk",
)
EVENTS = Schema(
    "ChunkEvents",
    (
        Field("row", "i4", "1", "row of the output"),
        Field("spot", "i4", "1", "true place"),
        Field("at", "i4", "1", "row of the draws"),
        Field("lane", "i4", "1", "events of each kind, in order", KINDS),
    ),
    doc="scratch: events of a chunk that happen",
)

ORDER = Schema(
    "ChunkOrder",
    (
        Field("ts_ms", "i8", "ms", "moment"),
        Field("at", "i4", "1", "row of the draws"),
        Field("lanes", "i4", "1", "events of each kind so far"),
    ),
    doc="scratch: events of one line and epoch in order of time",
)


def scratch(blocks: dict[str, Block], n_epochs: int) -> tuple[Any, Any, Any, Any]:
    """Return views of the lines, draws, events and order of a chunk, kept among a slice's blocks.

    Parameters
    ----------
    blocks : of the slice; those of a chunk are added, or replaced where a tick has more epochs
    """
    cells = max(CHUNK, n_epochs)
    most = cells * N_COUNT + 2
    views = []
    for schema, n in ((LINES, cells + 1), (DRAWS, most), (EVENTS, most), (ORDER, N_COUNT)):
        block = blocks.get(schema.name)
        if block is None or block.capacity < n:
            block = blocks[schema.name] = Block(schema, n)
        views.append(block.view)
    return views[0], views[1], views[2], views[3]


@kernel
def count_events(
    s, p, t, seed, lo, first, size, epoch_0, n_epochs, quarters, weekdays, start_ms, end_ms, l, d
):
    """Draw how many events each line of a chunk has in each epoch, and list them.

    Parameters
    ----------
    first, size : local row of the chunk's first line, and its lines
    quarters, weekdays : (n_regions, n_epochs) uint8, local quarter and day of each epoch
    l, d : scratch, written: `word`, `first`, `active` of lines; `sub`, `epoch`, `k` of draws

    Returns
    -------
    n_active : lines that have events, move, or have something planned
    """
    end_s = end_ms // 1000
    for e in range(n_epochs):
        for j in range(size):
            word, _, _, _ = draw(seed, S_COUNT, lo + first + j, epoch_0 + e, 0)
            l.word[e * size + j] = word
    n = 0
    n_active = 0
    for j in range(size):
        i = first + j
        begun = n
        life = s.life[i] & LIFE_MASK
        silent_s = np.int64(s.silent_s[i])
        awake = (life == LIFE_HERE) & (silent_s < end_s)
        from_ms = max(start_ms, silent_s * 1000)
        region = p.region[i]
        moves = False
        for e in range(n_epochs):
            l.first[j * n_epochs + e] = n
            if awake and (epoch_0 + e + 1) * 900_000 > from_ms:
                quarter = quarters[region, e]
                row = np.int64(t.level[s.activity[i], weekdays[region, e], quarter])
                total = count(t.counts, row, l.word[e * size + j])
                # Two are written whatever the count: most lines have no more, and which has how
                # many cannot be guessed.
                for k in range(2):
                    d.sub[n + k] = lo + i
                    d.epoch[n + k] = epoch_0 + e
                    d.k[n + k] = k
                for k in range(2, total):
                    d.sub[n + k] = lo + i
                    d.epoch[n + k] = epoch_0 + e
                    d.k[n + k] = k
                n += total
                moves |= may_move(s, i, quarter)
        acts = (s.due_s[i] < end_s) | (l.wake[j] != 0) | (
            (life == LIFE_RESERVED) & (silent_s < end_s)
        )  # fmt: skip
        l.active[n_active] = j
        n_active += acts | moves | (n > begun)
    l.first[size * n_epochs] = n
    return n_active


@kernel
def draw_events(seed, d, n):
    """Draw the moment and the words of `n` listed events."""
    for k in range(n):
        e0, e1, e2, e3 = draw(seed, S_EVENT, d.sub[k], d.epoch[k], d.k[k])
        d.ts_ms[k] = np.int64(d.epoch[k]) * 900_000 + below(e0, 900_000)
        d.w1[k] = e1
        d.w2[k] = e2
        d.w3[k] = e3
