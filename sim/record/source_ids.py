"""Names that become numbers: subscribers and cells, found by hash, kept once; pseudonyms.

It owns the table of distinct names of a recording, the rule that normalises telephone numbers, and
the keyed pseudonyms.  It must not know a file or a row.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

import numpy as np

from sim.core.errors import InvariantError, LimitError, ScenarioError
from sim.record.source_columns import Texts, from_strings
from sim.record.source_kernels import hash_texts
from sim.record.source_spec import IdRule

SECRET_BYTES_MIN = 16
_SIGNS = re.compile(r"[\s().\-]")
_RECENT_MIN = 1 << 16


def read_secret(path: Path) -> bytes:
    """Return the secret of pseudonyms, made where there is none; only the owner can read it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
        if len(secret) < SECRET_BYTES_MIN:
            raise ScenarioError(
                "the secret is too short", file=path.name, expected=f"{SECRET_BYTES_MIN} bytes"
            ) from None
        return secret
    secret = secrets.token_bytes(32)
    with os.fdopen(handle, "wb") as file:
        file.write(secret)
    return secret


def pseudonyms(names: list[str], secret: bytes) -> list[str]:
    """Return the pseudonym of each name: 16 hexadecimal digits, unrelated under another secret."""
    key = hashlib.blake2b(secret, digest_size=32).digest()
    keyed = hashlib.blake2b(key=key, digest_size=8)
    found = []
    for name in names:
        one = keyed.copy()
        one.update(name.encode())
        found.append(one.hexdigest())
    return found


def normalised(name: str, rule: IdRule) -> str:
    """Return a number in one form; a name that is no number stays as it is."""
    if not rule.country_code:
        return name
    digits = _SIGNS.sub("", name)
    plus = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        return name
    if not plus and digits.startswith("00"):
        digits, plus = digits[2:], True
    if not plus and rule.trunk and len(digits) == len(rule.trunk) + rule.national_digits:
        if digits.startswith(rule.trunk):
            return rule.country_code + digits[len(rule.trunk) :]
    if not plus and len(digits) == rule.national_digits:
        return rule.country_code + digits
    return digits


def all_digits(texts: Texts) -> np.ndarray:
    """Return the mask of texts that hold nothing but digits; the empty one does."""
    other = (texts.data < ord("0")) | (texts.data > ord("9"))
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(other, dtype=np.int64)])
    return before[texts.end] == before[texts.begin]


class Names:
    """Distinct names in the order of their hash; memory is about 100 bytes for each."""

    def __init__(self, what: str, limit: int, secret: bytes) -> None:
        digest = hashlib.blake2b(secret, digest_size=16, person=b"replay-names").digest()
        self._salts = [np.uint64(int.from_bytes(digest[i : i + 8], "little")) for i in (0, 8)]
        self._what, self._limit = what, limit
        self._hash = np.zeros(0, np.uint64)
        self._check = np.zeros(0, np.uint64)
        self._place = np.zeros(0, np.int64)
        self._recent: tuple[np.ndarray, ...] = (self._hash, self._check, self._place)
        self.names: list[bytes] = []

    def __len__(self) -> int:
        return len(self.names)

    def hashes(self, texts: Texts, rule: IdRule | None = None) -> np.ndarray:
        """Return the hash of each text, (n,) uint64, 0 for the empty one; keeps nothing."""
        return self._hashes(self.normal(texts, rule), 0)

    def add(self, texts: Texts, rows: np.ndarray, rule: IdRule | None = None) -> np.ndarray:
        """Return the hash of each text, and keep the names of the chosen rows.

        Parameters
        ----------
        rows : (n,) bool
        """
        normal = self.normal(texts, rule)
        hashes = self._hashes(normal, 0)
        chosen = np.flatnonzero(rows & (hashes != 0))
        unique, first = np.unique(hashes[chosen], return_index=True)
        first = chosen[first]
        checks = self._hashes(normal.take(first), 1)
        new = np.ones(len(unique), bool)
        for known, check in ((self._hash, self._check), self._recent[:2]):
            if len(known):
                at = np.minimum(np.searchsorted(known, unique), len(known) - 1)
                there = known[at] == unique
                if (check[at[there]] != checks[there]).any():
                    raise InvariantError(f"two {self._what} have one hash; try another secret")
                new &= ~there
        if new.any():
            self._keep(unique[new], checks[new], normal, first[new])
        return hashes

    def _keep(self, hashes: np.ndarray, checks: np.ndarray, texts: Texts, rows: np.ndarray) -> None:
        if len(self.names) + len(rows) > self._limit:
            raise LimitError(f"more than {self._limit} {self._what} in the recording")
        place = np.arange(len(self.names), len(self.names) + len(rows))
        begin, end = texts.begin, texts.end
        self.names += [bytes(texts.data[begin[i] : end[i]]) for i in rows]
        self._recent = _merged(self._recent, (hashes, checks, place))
        if len(self._recent[0]) > max(_RECENT_MIN, len(self._hash) // 8):
            self._settle()

    def _settle(self) -> None:
        self._hash, self._check, self._place = _merged(
            (self._hash, self._check, self._place), self._recent
        )
        self._recent = (self._hash[:0], self._check[:0], self._place[:0])

    def normal(self, texts: Texts, rule: IdRule | None) -> Texts:
        """Return each text in its one form: under a rule of numbers a number is digits alone."""
        if rule is None or not rule.country_code:
            return texts
        hashes = self._hashes(texts, 0)
        _, first, back = np.unique(hashes, return_index=True, return_inverse=True)
        changed = from_strings([normalised(texts.at(i), rule) for i in first])
        return changed.take(back)

    def _hashes(self, texts: Texts, salt: int) -> np.ndarray:
        out = np.zeros(len(texts), np.uint64)
        hash_texts(texts.data, texts.begin, texts.end, self._salts[salt], out)
        return out

    def ranked(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return hashes in order, the rank by name of each, and the names sorted as bytes."""
        self._settle()
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        rank = np.zeros(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        names = [self.names[i].decode("utf-8", "replace") for i in order]
        return self._hash, rank[self._place], names


def _merged(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    joined = [np.concatenate([x, y]) for x, y in zip(a, b, strict=True)]
    order = np.argsort(joined[0], kind="stable")
    return tuple(x[order] for x in joined)


def look_up(hashes: np.ndarray, known: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return `value` of each hash, int32, -1 where it is not known; `known` is sorted."""
    if not len(known):
        return np.full(len(hashes), -1, np.int32)
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[at] == hashes, value[at], -1).astype(np.int32)
