"""Calls as jobs: who calls in a quarter of an hour, and what each call will need.

It owns the draws of calls.  A call's work, patience, second try and answers are drawn by the key
of the call and the number of the try, so that no queue can change them.  It must not know queues.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.contact_centre.tables import CARE, LINES, TECHNICAL, CentreTables
from sim.core import rng
from sim.core.actor import Rows
from sim.core.kernel import kernel
from sim.core.quantiles import category, quantile
from sim.core.rng import EPOCH_MS, below, draw, mix64, stream
from sim.queueing.processes import Job

S_CALL = stream("a call")
S_NEEDS = stream("what a call needs")
S_MORE = stream("calls of the lines that one stands for")

SUB, REASON, SITE, ATTEMPT, CALLED_BACK, FATE = range(6)
"""Places in `Job.tags`; `FATE` is a word of draws for what comes after the answer."""

COLUMNS = 7
"""Columns of a table of calls: key (as int64), moment, line, reason, centre, work, patience."""
KEY, AT, LINE, WHY, WHERE, WORK, PATIENCE = range(COLUMNS)


def in_epoch(t: CentreTables, epoch: int) -> int:
    """Return how many calls without a cause in the twin fall into an epoch."""
    word = rng.draws(int(t.seed), "calls of a quarter of an hour", np.zeros(1, np.int64),
                     epoch=epoch)[0, 0]  # fmt: skip
    row = t.row[min(epoch, len(t.row) - 1)]
    return int(t.counts[row, int(word) >> (32 - 10)])


@kernel
def draw_epoch(seed, site, technical, n_lines, lines_real, epoch, out):
    """Draw the calls of an epoch.

    Each is by any of the lines that the run stands for, one as likely as another; where that is a
    simulated one, the call has its id, else -1.  A sample so gets its share of a full-size stream
    of calls, with the right scatter.

    Parameters
    ----------
    out : (n, 7) int64, written but for work and patience
    """
    for k in range(out.shape[0]):
        a, b, c, d = draw(seed, S_CALL, 0, epoch, k)
        line = below(b, lines_real)
        out[k, KEY] = np.int64(mix64((np.uint64(epoch) << np.uint64(28)) | np.uint64(k)))
        out[k, AT] = epoch * EPOCH_MS + below(a, EPOCH_MS)
        out[k, LINE] = line if line < n_lines else -1
        out[k, WHY] = m.FAULT if c < technical else m.INBOUND
        out[k, WHERE] = category(site, d)


@kernel
def draw_more(seed, site, sub, ts_ms, reason, key, more, part, spread_ms, out):
    """Draw a caused call and those of the lines that its line stands for; return how many.

    Parameters
    ----------
    sub, ts_ms, reason, key : the row of `Call`
    out : (more + 2, 7) int64, written
    """
    low = np.uint32(key & np.uint64(0xFFFFFFFF))
    high = np.uint32(key >> np.uint64(32))
    u, where, _, _ = draw(seed, S_MORE, low, high, 0)
    n = more + (1 if u < part else 0)
    for j in range(n + 1):
        a, b, _, _ = draw(seed, S_MORE, low, high, j + 1)
        out[j, KEY] = np.int64(key if j == 0 else mix64(key + np.uint64(j)))
        out[j, AT] = ts_ms + (0 if j == 0 else below(a, spread_ms))
        out[j, LINE] = sub if j == 0 else -1
        out[j, WHY] = reason
        out[j, WHERE] = category(site, where if j == 0 else b)
    return n + 1


@kernel
def draw_needs(seed, work_ms, patience_ms, attempt, calls, fate):
    """Write work, patience and the word of fate of each call's try.

    Parameters
    ----------
    attempt : number of tries before
    calls : (n, 7) int64
    fate : (n,) int64, written
    """
    for i in range(calls.shape[0]):
        key = np.uint64(calls[i, KEY])
        low, high = np.uint32(key & np.uint64(0xFFFFFFFF)), np.uint32(key >> np.uint64(32))
        a, b, c, _ = draw(seed, S_NEEDS, low, high, attempt)
        calls[i, WORK] = quantile(work_ms, a)
        calls[i, PATIENCE] = quantile(patience_ms, b)
        fate[i] = c


def base_calls(t: CentreTables, epoch: int) -> np.ndarray:
    """Return the (n, 7) calls of an epoch that nothing in the twin causes."""
    out = np.zeros((in_epoch(t, epoch), COLUMNS), np.int64)
    draw_epoch(
        t.seed, t.site, t.technical, t.lines, np.int64(t.lines_real), np.int64(epoch), out
    )  # fmt: skip
    return out


def caused_calls(t: CentreTables, rows: Rows) -> np.ndarray:
    """Return the (n, 7) calls of `Call` rows, those of the lines they stand for included."""
    parts = []
    out = np.zeros((t.more + 2, COLUMNS), np.int64)
    for i in range(len(rows["sub"])):
        n = draw_more(
            t.seed, t.site, np.int64(rows["sub"][i]), np.int64(rows["ts_ms"][i]),
            np.int64(rows["reason"][i]), np.uint64(rows["key"][i]), t.more, t.part, t.spread_ms,
            out,
        )  # fmt: skip
        parts.append(out[:n].copy())
    return np.concatenate(parts) if parts else np.zeros((0, COLUMNS), np.int64)


def to_jobs(t: CentreTables, calls: np.ndarray, attempt: int = 0) -> list[tuple[Job, int]]:
    """Return (job, moment) of each call's try."""
    fate = np.zeros(len(calls), np.int64)
    draw_needs(t.seed, t.work_ms, t.patience_ms, np.int64(attempt), calls, fate)
    keys = calls[:, KEY].view(np.uint64).tolist() if len(calls) else []
    jobs = []
    for key, row, word in zip(keys, calls.tolist(), fate.tolist(), strict=True):
        line = TECHNICAL if row[WHY] in (m.FAULT, m.NO_SERVICE) else CARE
        job = Job(
            key, row[WHERE] * len(LINES) + line, row[WORK], patience=row[PATIENCE],
            tags=(row[LINE], row[WHY], row[WHERE], attempt, 0, word),
        )  # fmt: skip
        jobs.append((job, row[AT]))
    return jobs


def next_try(t: CentreTables, job: Job, now: int) -> tuple[Job, int] | None:
    """Return (job, moment) of the next try of a caller who hung up, or None."""
    attempt = job.tags[ATTEMPT] + 1
    words = fate_words(t, job)
    if attempt > t.retries_max or words[0] >= int(t.retry):
        return None
    call = np.zeros((1, COLUMNS), np.int64)
    call[0, KEY] = np.array([job.key], np.uint64).view(np.int64)[0]
    call[0, AT] = now + int(t.retry_ms[words[1] >> 22])
    call[0, LINE], call[0, WHY], call[0, WHERE] = job.tags[SUB], job.tags[REASON], job.tags[SITE]
    return to_jobs(t, call, attempt)[0]


def fate_words(t: CentreTables, job: Job) -> tuple[int, int, int, int]:
    """Return four uint32 of a try, for what comes after the answer or instead of it."""
    name = "what follows a call"
    entity = np.array([job.tags[FATE]], np.int64)
    words = rng.draws(int(t.seed), name, entity, epoch=job.key & 0xFFFFFFFF, k=job.tags[ATTEMPT])
    return tuple(int(word) for word in words[0])  # type: ignore[return-value]  # four of them
