"""From texts by column to typed rows: every value checked once, every row with one reason at most.

It owns the order of the checks and the raw row that is sorted later.  It must not know where rows
are kept, nor which of two equal rows stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim.core.errors import ScenarioError
from sim.record.source_cells import CellVersions, positions
from sim.record.source_columns import NO_REASON, Batch, Texts, dialect_hint, from_strings
from sim.record.source_ids import Names, all_digits
from sim.record.source_kernels import combine
from sim.record.source_spec import (
    DATA,
    DERIVED,
    LOCATION,
    MISSED,
    MO,
    MT,
    REASONS,
    SKIPPED,
    SMS,
    TOPUP,
    UNKNOWN,
    VOICE,
    CodeRule,
    NumberRule,
    Recording,
    SourceSpec,
    TimeRule,
)
from sim.record.source_time import (
    EPOCH_MAX_MS,
    EPOCH_MIN_MS,
    ISO,
    MISSING,
    REPEATED,
    shown_ms,
    template,
    to_utc,
)
from sim.record.source_values import (
    BAD,
    EMPTY,
    NO_OFFSET,
    OK,
    OVERFLOW,
    decimals,
    moments,
)

RAW = np.dtype(
    [
        ("sub", "u8"), ("ts", "i8"), ("ord", "u8"), ("units", "i8"), ("amount", "i8"),
        ("cell", "u8"), ("peer", "u8"), ("type", "u1"), ("direction", "u1"), ("flags", "u1"),
        ("source", "u1"),
    ]
)  # fmt: skip
"""A row before sorting: names are hashes, `ts` is epoch ms, `ord` numbers the row in its file."""
_END = 0xFF
"""Byte behind a code: no text in UTF-8 has it."""
CODE = {name: code for code, name in enumerate(REASONS)}


@dataclass
class Context:
    """What the rows of all files share."""

    recording: Recording
    subscribers: Names
    cells: Names
    versions: CellVersions | None
    known: np.ndarray | None
    """(n,) uint64 sorted hashes of the subscribers that may be applied; None: all."""


@dataclass
class Rows:
    """A batch, typed."""

    raw: np.ndarray
    """(n,) RAW; only rows without a reason mean anything."""
    event: np.ndarray | None
    """(n,) uint64 hash of source, event id and record number; None: the source has no ids."""
    reason: np.ndarray
    """(n,) uint8."""
    found: dict[int, Texts] = field(default_factory=dict)
    """Reason -> the column that gave it, for the quarantine."""

    def give(self, which: np.ndarray, reason: str, column: Texts | None = None) -> None:
        """Give a reason to the rows of a mask that have none yet."""
        self.reason[which & (self.reason == NO_REASON)] = CODE[reason]
        if column is not None:
            self.found.setdefault(CODE[reason], column)

    @property
    def good(self) -> np.ndarray:
        """Return the mask of rows without a reason."""
        return self.reason == NO_REASON


def typed(spec: SourceSpec, number: int, batch: Batch, context: Context) -> Rows:
    """Return the typed rows of a batch; `ord` is left to the caller."""
    n = len(batch)
    rows = Rows(np.zeros(n, RAW), None, batch.reason.copy())
    raw = rows.raw
    raw["source"] = number
    kind = _codes(spec.event_type, batch, rows, "unknown_code")
    raw["type"] = kind
    rows.give(kind == SKIPPED, "not_replayed")
    raw["ts"] = _moments(spec, batch, rows)
    _in_range(spec, context.recording, batch, rows)
    raw["direction"] = _codes(spec.direction, batch, rows, "unknown_code")
    _numbers(spec, batch, rows)
    _cells(spec, batch, rows, context)
    rows.give((kind == LOCATION) & (raw["cell"] == 0), "no_place")
    _event_ids(spec, batch, rows, context)
    _people(spec, batch, rows, context)
    return rows


def _codes(rule: CodeRule, batch: Batch, rows: Rows, reason: str) -> np.ndarray:
    if not rule.column:
        return np.full(len(batch), rule.constant, np.uint8)
    texts = batch.columns[rule.column]
    width = int((texts.end - texts.begin).max(initial=0))
    if width > 64:
        rows.give((texts.end - texts.begin) > 64, reason, texts)
    # Few distinct values in many rows: each is looked up once.
    head = np.zeros((len(batch), min(width, 64) + 1), np.uint8)
    for j in range(head.shape[1]):
        at = texts.begin + j
        inside = at < texts.end
        head[inside, j] = texts.data[at[inside]]
        head[at == texts.end, j] = _END  # NumPy cuts zero bytes off the end: `a\0` is not `a`
    viewed = np.ascontiguousarray(head).view(f"S{head.shape[1]}").ravel()
    distinct, back = np.unique(viewed, return_inverse=True)
    codes = [
        rule.values.get(value.removesuffix(b"\xff").decode("utf-8", "replace").casefold(), UNKNOWN)
        for value in distinct
    ]
    out = np.array(codes, np.uint8)[back]
    rows.give(out == UNKNOWN, reason, texts)
    return out


def _moments(spec: SourceSpec, batch: Batch, rows: Rows) -> np.ndarray:
    rule = spec.event_time
    if rule.columns[0] in batch.moments and len(rule.columns) == 1:
        wall, null, zoned = batch.moments[rule.columns[0]]
        rows.give(null, "bad_time")
        utc = wall if zoned else _localised(wall, rule, batch, rows, np.ones(len(wall), bool))
        return utc + rule.offset_s * 1_000
    texts = _joined([batch.columns[name] for name in rule.columns])
    out = np.zeros(len(batch), np.int64)
    status = np.zeros(len(batch), np.uint8)
    if rule.format in ("epoch_s", "epoch_ms", "since"):
        scale = 0 if rule.format == "epoch_ms" else 3
        decimals(texts.data, texts.begin, texts.end, scale, ord("."), 0, out, status)
        rows.give(status != OK, "bad_time", texts)
        return out + rule.since_ms + rule.offset_s * 1_000
    offset = np.zeros(len(batch), np.int32)
    iso = rule.format == "iso"
    codes = ISO if iso else template(rule.format)[0]
    moments(texts.data, texts.begin, texts.end, codes, int(iso), out, offset, status)
    rows.give(status != OK, "bad_time", texts)
    own = offset != NO_OFFSET
    bare = rows.good & ~own
    if not rule.zone and bare.any():
        i = int(np.flatnonzero(bare)[0])
        raise ScenarioError(
            "a local time without a zone", file=batch.file.shown, line=int(batch.line[i]),
            path=f"sources.{spec.name}.event_time.zone", found=texts.at(i),
            expected="the zone of these times, such as Asia/Almaty, or an offset in every value",
        )  # fmt: skip
    utc = out - np.where(own, offset, 0).astype(np.int64) * 60_000
    if rule.zone and not own.all():
        utc = np.where(own, utc, _localised(out, rule, batch, rows, ~own & rows.good))
    return utc + rule.offset_s * 1_000


def _joined(columns: list[Texts]) -> Texts:
    if len(columns) == 1:
        return columns[0]
    parts = [[column.at(i) for column in columns] for i in range(len(columns[0]))]
    return from_strings([" ".join(p) for p in parts])


def _localised(
    wall: np.ndarray, rule: TimeRule, batch: Batch, rows: Rows, here: np.ndarray
) -> np.ndarray:
    if not rule.zone:
        raise ScenarioError(
            "local times without a zone", file=batch.file.shown, path="event_time.zone",
            expected="the zone of these times, such as Asia/Almaty",
        )  # fmt: skip
    utc, marks = to_utc(wall, rule.zone, later=rule.repeated_hour == "later")
    for mark, what, how in (
        (REPEATED, "repeated_hour", rule.repeated_hour),
        (MISSING, "missing_hour", rule.missing_hour),
    ):
        hit = here & rows.good & (marks == mark)
        if not hit.any():
            continue
        if how == "refuse":
            i = int(np.flatnonzero(hit)[0])
            words = "comes twice" if mark == REPEATED else "does not exist"
            raise ScenarioError(
                f"a local time that {words} in {rule.zone}", file=batch.file.shown,
                line=int(batch.line[i]), path=f"event_time.{what}", found=shown_ms(int(wall[i])),
                expected=f"an offset in the value, or a rule for event_time.{what}",
            )  # fmt: skip
        if how == "quarantine":
            rows.give(hit, what)
    return utc


def _in_range(spec: SourceSpec, recording: Recording, batch: Batch, rows: Rows) -> None:
    """Years that no recording has are a wrong unit: refused where they are the rule."""
    ts = rows.raw["ts"]
    good = rows.good
    low, high = EPOCH_MIN_MS, EPOCH_MAX_MS
    outside = (ts < low) | (ts >= high)
    reason = "time_range"
    if recording.start_ms is not None and recording.end_ms is not None:
        beyond = (ts < recording.start_ms) | (ts >= recording.end_ms)
        if not outside.any() or (good & beyond).sum() * 2 > good.sum():
            low, high = recording.start_ms, recording.end_ms
    elif recording.start_ms is not None:
        beyond = ts < recording.start_ms
    else:
        beyond = np.zeros(len(ts), bool)
    wrong = good & (outside | beyond)
    if good.any() and wrong.sum() * 2 > good.sum():
        first, last = int(ts[good].min()), int(ts[good].max())
        i = int(np.flatnonzero(wrong)[0])
        raise ScenarioError(
            "the times are out of range: a wrong unit, zone or window?", file=batch.file.shown,
            line=int(batch.line[i]), path=f"sources.{spec.name}.event_time",
            found=f"{shown_ms(first)} to {shown_ms(last)} read as {spec.event_time.format}",
            expected=f"{shown_ms(low)} to {shown_ms(high)}",
        )  # fmt: skip
    rows.give(outside, reason)
    rows.give(beyond, "outside_window")
    ts[~rows.good] = 0


def _number(
    spec: SourceSpec, rule: NumberRule, batch: Batch, rows: Rows, here: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return stored numbers and the mask of missed ones; faults get their reason."""
    texts = batch.columns[rule.column]
    out = np.zeros(len(batch), np.int64)
    status = np.zeros(len(batch), np.uint8)
    thousands = ord(spec.thousands) if spec.thousands else 0
    decimals(
        texts.data, texts.begin, texts.end, rule.scale, ord(spec.decimal), thousands, out, status
    )
    bad = here & ((status == BAD) | ((status == EMPTY) & (rule.missing is None)))
    judged = here & rows.good
    if (bad & judged).sum() * 2 > judged.sum():
        sample = [texts.at(int(i)) for i in np.flatnonzero(bad & judged)[:20]]
        hint = dialect_hint(spec, sample)
        if hint:
            raise ScenarioError(
                f"the numbers of {rule.column!r} cannot be read", file=batch.file.shown,
                line=int(batch.line[np.flatnonzero(bad & judged)[0]]),
                path=f"sources.{spec.name}.decimal", found=sample[0][:20], expected=hint,
            )  # fmt: skip
    rows.give(bad, "bad_number", texts)
    rows.give(here & (status == OVERFLOW), "out_of_range", texts)
    missed = np.isin(out, rule.missed) & (status == OK) if rule.missed else np.zeros(len(out), bool)
    fits = np.abs(out) <= (1 << 62) // rule.factor
    rows.give(here & ~fits, "out_of_range", texts)
    value = np.where(fits, out, 0) * rule.factor
    if rule.divide > 1:
        value = (value + rule.divide // 2) // rule.divide
    if rule.missing is not None:
        value = np.where(status == EMPTY, rule.missing, value)
    value = np.where(missed, 0, value)
    rows.give(here & ((value < rule.low) | (value > rule.high)), "out_of_range", texts)
    return value, missed


def _numbers(spec: SourceSpec, batch: Batch, rows: Rows) -> None:
    """Fill `units`, `amount` and `flags` by the kind of each row."""
    raw = rows.raw
    kind = raw["type"]
    none = np.zeros(len(batch), np.int64)

    def read(rule: NumberRule | None, here: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        here = here & rows.good
        if rule is None or not here.any():
            return none, none.astype(bool)
        return _number(spec, rule, batch, rows, here)

    seconds, missed = read(spec.duration, kind == VOICE)
    pieces, _ = read(spec.pieces, kind == SMS)
    up, _ = read(spec.bytes_up, kind == DATA)
    down, _ = read(spec.bytes_down, kind == DATA)
    amount, _ = read(spec.amount, np.ones(len(batch), bool))
    if spec.pieces is None:
        pieces = np.ones(len(batch), np.int64)
    rows.give((kind == TOPUP) & (amount <= 0), "out_of_range")
    units = np.select(
        [kind == VOICE, kind == SMS, kind == DATA, kind == TOPUP],
        [seconds, pieces, up + down, amount], 0,
    )  # fmt: skip
    raw["units"] = np.where(rows.good, units, 0)
    raw["amount"] = np.where(rows.good, amount, 0)
    raw["flags"] = np.where(missed & (kind == VOICE), MISSED, 0)
    if spec.balance_before is not None and spec.balance_after is not None:
        before, _ = read(spec.balance_before, kind == TOPUP)
        after, _ = read(spec.balance_after, kind == TOPUP)
        off = np.abs(before + amount - after) > spec.balance_tolerance_minor
        rows.give((kind == TOPUP) & off, "balance")


def _cells(spec: SourceSpec, batch: Batch, rows: Rows, context: Context) -> None:
    rule = spec.cell
    if rule is None:
        return
    if not rule.column:
        texts = positions(batch.columns[rule.lat], batch.columns[rule.lon], spec.decimal)
        rows.give(texts.begin < 0, "bad_number", batch.columns[rule.lat])
        texts = Texts(texts.data, np.maximum(texts.begin, 0), texts.end)
    else:
        texts = batch.columns[rule.column]
    if context.versions is not None and context.versions.required:
        rows.raw["cell"] = context.cells.hashes(texts)
        known = context.versions.known(rows.raw["cell"])
        rows.give((rows.raw["cell"] != 0) & ~known, "unknown_cell", texts)
    else:
        rows.raw["cell"] = context.cells.add(texts, rows.good)


def _event_ids(spec: SourceSpec, batch: Batch, rows: Rows, context: Context) -> None:
    if not spec.event_id:
        return
    event = context.subscribers.hashes(from_strings([spec.name])).repeat(len(batch))
    for i, name in enumerate(spec.event_id):
        part = context.subscribers.hashes(batch.columns[name])
        if i == 0:
            rows.give(part == 0, "no_event_id")
        combine(event, part)
    rows.event = event


def _people(spec: SourceSpec, batch: Batch, rows: Rows, context: Context) -> None:
    """Fill `sub` and `peer`; last, so that only the ids of rows that are applied are kept."""
    names = context.subscribers
    if spec.file_name:
        column = from_strings([batch.file.subscriber])
        column = column.take(np.zeros(len(batch), np.int64))
    else:
        column = batch.columns[spec.subscriber.column]
    normal = names.normal(column, spec.subscriber)
    hashes = names.hashes(normal)
    rows.give(hashes == 0, "no_subscriber")
    if spec.subscriber.country_code:
        rows.give(~all_digits(normal), "not_a_number", column)
    if context.known is not None:
        rows.give(~np.isin(hashes, context.known), "unknown_subscriber", column)
    rows.raw["sub"] = names.add(normal, rows.good)
    if spec.counterpart is None:
        return
    other = batch.columns[spec.counterpart.column]
    if not spec.two_sided:
        rows.raw["peer"] = names.hashes(other, spec.counterpart)
        return
    normal = names.normal(other, spec.counterpart)
    peers = names.hashes(normal)
    if spec.counterpart.country_code:
        peers[~all_digits(normal)] = 0  # a sender with a name is no subscriber to derive a row for
    kept = rows.good & (peers != 0)
    if context.known is not None:
        kept &= np.isin(peers, context.known)
    names.add(normal, kept)
    rows.raw["peer"] = peers
    rows.raw["direction"] = MO


def other_sides(raw: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Return the callee's row of each caller's row: sides swapped, marked as derived."""
    out = raw[raw["peer"] != 0].copy()
    if known is not None:
        out = out[np.isin(out["peer"], known)]
    out["sub"], out["peer"] = out["peer"].copy(), out["sub"].copy()
    out["direction"] = MT
    out["flags"] |= DERIVED
    out["amount"] = 0
    return out
