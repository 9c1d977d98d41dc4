"""The engine of a server: requests in, decisions journalled, answers out; one process of its own.

It owns the order of a decision (repeated? decide, journal, then answer), the memory of idempotency
keys, and the wire to the front, records of fixed size both ways.  It must not know HTTP.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from actors import messages as m
from actors.profile import AGE_BANDS, DEVICES
from actors.profile import PREPAID as P_PREPAID
from actors.rtm.decide import NOT_FORESEEN
from actors.rtm.history import contact_at, remember_contact
from actors.rtm.inbound import answer, groups_of
from actors.rtm.params import SEGMENTS
from actors.rtm.state import APP, CONSENT, EXPERIMENT, HIT, NO_CASE, engine_view
from scenarios.serve.journal import RANKS_MAX, Journal, read, sealed
from scenarios.serve.state import Serving
from sim.core.columns import Columns
from sim.core.kernel import compiled_for, kernel

QUERIES = ("offers", "profile", "groups")
"""The three kinds of query of S3.7: content on request, the client and his history, his groups."""
CHANNELS = ("agent", "self_care", "service")
"""Who asks: an agent with the customer on the line, the customer himself, a partner."""
KEYS_MAX = 200_000
"""Idempotency keys remembered, the newest ones."""
SYNC_S = 1.0
"""Longest time for which an answered decision may be lost with the power (not with the process)."""

ASK = struct.Struct("<IqBBB16s16s")
"""Number of the request, line (-1 unknown), query, channel, limit, keyed hashes of the idempotency
key (zeros: none) and of the content."""
TOLD = struct.Struct("<IIB")
"""Number of the request, bytes that follow, status."""
DONE, CONFLICT, READY = 0, 1, 2
NO_KEY = bytes(16)
BUFFER = 1 << 18


@kernel
def apply_contacts(s, t, contacts, subs, days, held):
    """Remember journalled contacts again, in their order; -1 is none."""
    for k in range(contacts.shape[0]):
        if contacts[k] >= 0:
            channel = np.int64(t.case_channels[contacts[k], 0])
            remember_contact(s, t, subs[k], contacts[k], channel, days[k], held[k])


class Engine:
    """The decision loop for one request at a time.

    Parameters
    ----------
    serving : changed by decisions: contacts are remembered
    journal : None keeps no journal, for measurements
    """

    def __init__(self, serving: Serving, journal: Journal | None = None) -> None:
        self.serving = serving
        self.journal = journal
        self.seq = 0
        self.known: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
        n = max(len(serving.offers), 1)
        self._hit = Columns(HIT, 1)
        self._log = Columns(m.DECISION, 1)
        self._ranked = np.zeros(RANKS_MAX, np.int64)
        self._scores = np.zeros(RANKS_MAX, np.int64)
        self._member = np.zeros(n, np.uint8)
        self._p, self._s = serving.profile.view, self._view(serving)
        self._rest = (
            self._hit.view, NOT_FORESEEN, np.zeros(n, np.uint8), Columns(m.INTENT, 1).view,
            Columns(EXPERIMENT, 1).view, self._log.view, serving.counters,
        )  # fmt: skip
        self._slots = [(self._ranked[:k], self._scores[:k]) for k in range(RANKS_MAX + 1)]
        self._hit["trigger"][0] = serving.rule
        self._shift = serving.tables.region_shift_q
        self._answer = compiled_for(
            answer, self._p, self._s, serving.tables, *self._rest, *self._slots[1]
        )

    def restore(self, records: np.ndarray) -> None:
        """Bring the state up to a journal: every contact of it, and its newest keys."""
        self._reserve(len(records))
        apply_contacts(
            self._s,
            self.serving.tables,
            records["contact"].astype(np.int64),
            records["sub"].astype(np.int64),
            records["day"].astype(np.int64),
            records["reason"] != m.INTENDED,
        )
        self.seq = len(records)
        for record in records[-KEYS_MAX:]:
            key = record["key"].tobytes()
            if key != NO_KEY:
                self.known[key] = (record["content"].tobytes(), record.tobytes())

    @staticmethod
    def _view(serving: Serving) -> Any:
        return engine_view(serving.state, serving.tables_of_lines(), 0)

    def _reserve(self, more: int) -> None:
        """Make room for contacts; their table may be another one afterwards."""
        self.serving.contacts.reserve(more)
        if self.serving.contacts.view is not self._s.contacts:
            self._s = self._view(self.serving)

    def local_day(self, sub: int, ts_ms: int) -> int:
        """Return the local day of a line at a moment, as `decide` counts it."""
        shift = int(self._shift[self._p.region[sub]])
        return (ts_ms // 900_000 + shift + int(self.serving.tables.start_quarter)) // 96

    def decide(
        self, sub: int, ts_ms: int, *, channel: int, limit: int,
        key: bytes = NO_KEY, content: bytes = NO_KEY,
    ) -> bytes:  # fmt: skip
        """Decide for a line (-1: unknown) and return the sealed record, not yet journalled."""
        serving = self.serving
        known = 0 <= sub < serving.n_lines
        row = sub if known else serving.nobody
        n = n_eligible = n_allowed = 0
        reason, contact = m.NOT_ELIGIBLE, -1
        if serving.enabled:
            self._reserve(1)
            self._hit["sub"][0] = row
            self._hit["ts_ms"][0] = ts_ms
            ranked, scores = self._slots[limit]
            n, n_eligible, n_allowed = self._answer(
                self._p, self._s, serving.tables, *self._rest, ranked, scores
            )
            reason = int(self._log["reason"][0])
            if known and reason in (m.INTENDED, m.HOLDOUT):
                contact = int(self._log["use_case"][0])
            if not known:
                # Computed as for anyone, so that it takes as long; nothing of it is kept.
                n = n_eligible = n_allowed = 0
                reason = m.NOT_ELIGIBLE
                self._s.recent_case[row] = NO_CASE
                self._s.recent_channel[row] = 255
                self._s.recent_day[row] = 0
        self._ranked[n:] = -1
        self._scores[n:] = 0
        record = sealed(
            self.seq, ts_ms, sub if known else -1, self.local_day(row, ts_ms), channel, reason,
            n, known, contact, len(serving.offers), n_eligible, n_allowed,
            *self._ranked.tolist(), *self._scores.tolist(), key, content,
        )  # fmt: skip
        self.seq += 1
        return record

    def batch(self, asked: Iterator[tuple[Any, ...]]) -> bytes:
        """Answer requests in their order: all new decisions are journalled before any is answered.

        Raises
        ------
        OSError : the journal cannot be written; nothing of the batch is answered
        """
        new: list[bytes] = []
        told: list[bytes] = []
        for number, sub, query, channel, limit, key, content in asked:
            status = DONE
            if query:
                body = self._look(query, sub)
            elif key != NO_KEY and key in self.known:
                before, body = self.known[key]
                if before != content:
                    status, body = CONFLICT, b""
            else:
                now_ms = self.serving.clock.now_ms()
                body = self.decide(
                    sub, now_ms, channel=channel, limit=limit, key=key, content=content
                )
                new.append(body)
                if key != NO_KEY:
                    self.known[key] = (content, body)
                    if len(self.known) > KEYS_MAX:
                        self.known.popitem(last=False)
            told.append(TOLD.pack(number, len(body), status) + body)
        if new and self.journal is not None:
            self.journal.append(b"".join(new))
        return b"".join(told)

    def _look(self, query: int, sub: int) -> bytes:
        """Return what the engine believes of a line, or its target groups, as JSON."""
        known = 0 <= sub < self.serving.n_lines
        row = sub if known else self.serving.nobody
        if QUERIES[query] == "groups":
            groups_of(
                self._p, self._s, self.serving.tables, row, self.serving.clock.now_ms(),
                self._member,
            )  # fmt: skip
            names = [self.serving.offers[k][0] for k in np.flatnonzero(self._member)]
            return json.dumps(names if known else []).encode()
        found = self._profile(row)
        if not known:
            found = {k: [] if isinstance(v, list) else None for k, v in found.items()}
        return json.dumps(found, ensure_ascii=False).encode()

    def _profile(self, row: int) -> dict[str, Any]:
        p, s, serving = self._p, self._s, self.serving
        day = self.local_day(row, serving.clock.now_ms())
        flags = int(s.flags[row])
        contacts: list[dict[str, Any]] = []
        case, _, then = contact_at(s, row, 0)
        n = 0
        while case != NO_CASE:
            # A contact of a campaign is of no offer that can be asked for.
            if case < len(serving.offers):
                contacts.append({"offer": serving.offers[case][0], "days_ago": (day - then) & 255})
            n += 1
            case, _, then = contact_at(s, row, n)
        return {
            "region": serving.regions[int(p.region[row])],
            "segment": SEGMENTS[int(p.segment[row])],
            "tariff": serving.tariffs[int(p.tariff[row])],
            "device": DEVICES[int(p.device[row])],
            "age_band": AGE_BANDS[int(p.age_band[row])],
            "tenure_days": int(p.tenure_days[row]) + max(day, 0),
            "prepaid": bool(p.flags[row] & P_PREPAID),
            "consent": bool(flags & CONSENT),
            "app": bool(flags & APP),
            "in_quest": bool(s.plays[row]),
            "owns_pack": int(s.owned_day[row]) >= day,
            "data_today_mb": int(s.data_today_kb[row]) // 1000 if int(s.day[row]) == day else 0,
            "data_norm_mb": int(s.data_norm_mb[row]),
            "purchases": self._purchases(row, day),
            "contacts": contacts,
        }

    def _purchases(self, row: int, day: int) -> list[dict[str, Any]]:
        """Return what the engine remembers to have been bought: the latest pack, for a year.

        `valid_days` are the days that it has left; below zero it has ended so long ago.
        """
        left = int(self._s.owned_day[row]) - day
        return [{"what": "pack", "valid_days": left}] if left > -365 else []


def serve_socket(wire: socket.socket, serving: Serving, path: Path, *, always: bool) -> None:
    """Answer requests from a socket until its other end is closed.

    Parameters
    ----------
    path : journal, read first: what it holds has been answered
    always : sync the journal before each answer; else once in `SYNC_S`
    """
    records = read(path, verify=False)
    journal = Journal(path, always=always)
    engine = Engine(serving, journal)
    engine.restore(records)
    del records
    wire.sendall(TOLD.pack(0, 0, READY))
    pending = b""
    idle = select.poll()
    idle.register(wire, select.POLLIN)
    synced_s = 0.0
    try:
        while True:
            if not idle.poll(SYNC_S * 1000):
                journal.sync()
                continue
            data = wire.recv(BUFFER)
            if not data:
                return
            pending += data
            whole = len(pending) - len(pending) % ASK.size
            if whole:
                wire.sendall(engine.batch(ASK.iter_unpack(pending[:whole])))
                pending = pending[whole:]
            now_s = time.monotonic()
            if now_s - synced_s >= SYNC_S:
                journal.sync()
                synced_s = now_s
    finally:
        journal.close()
