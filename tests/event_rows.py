"""Blows on the rows of a text file: what goes wrong in exports, each by its name in `ROWS`."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.event_blows import NUMBERS, TIMES, WORDS

Table = list[list[str]]
Blow = Callable[[random.Random, Table, str], Table | bytes]
ROWS: dict[str, Blow] = {}


def rows(function: Blow) -> Blow:
    """Register a blow on a table."""
    ROWS[function.__name__] = function
    return function


def _row(rng: random.Random, table: Table) -> int:
    return rng.randrange(1, len(table) - 1)


@rows
def doubled(rng: random.Random, table: Table, mark: str) -> Table:
    i = _row(rng, table)
    at = rng.choice([i, _row(rng, table)])
    return [*table[:at], table[i], *table[at:]]


@rows
def contradicted(rng: random.Random, table: Table, mark: str) -> Table:
    i = _row(rng, table)
    other = list(table[i])
    other[rng.randrange(len(other))] = rng.choice([*NUMBERS, *TIMES, *WORDS, "sms", "s3"])
    return [*table[: i + 1], other, *table[i + 1 :]]


@rows
def lost(rng: random.Random, table: Table, mark: str) -> Table:
    i = _row(rng, table)
    return table[:i] + table[i + rng.randrange(1, 20) :]


@rows
def moved(rng: random.Random, table: Table, mark: str) -> Table:
    i, at = _row(rng, table), _row(rng, table)
    row = table.pop(i)
    return [*table[:at], row, *table[at:]]


@rows
def shuffled(rng: random.Random, table: Table, mark: str) -> Table:
    body = table[1:-1]
    rng.shuffle(body)
    return [table[0], *body, table[-1]]


@rows
def columns_swapped(rng: random.Random, table: Table, mark: str) -> Table:
    a, b = rng.randrange(len(table[0])), rng.randrange(len(table[0]))
    whole = rng.random() < 0.5
    for row in table if whole else table[1:]:
        if max(a, b) < len(row):
            row[a], row[b] = row[b], row[a]
    return table


@rows
def header_struck(rng: random.Random, table: Table, mark: str) -> Table:
    j = rng.randrange(len(table[0]))
    name = table[0][j]
    at = rng.randrange(len(name) + 1)
    table[0][j] = rng.choice([
        name.upper(), name[:at] + name[at + 1 :], name[:at] + "x" + name[at:], f" {name}", "",
        f'"{name}', rng.choice(table[0]), name + "\0", "x" * 200_000,
    ])  # fmt: skip
    return table


@rows
def column_gone_or_new(rng: random.Random, table: Table, mark: str) -> Table:
    j, gone = rng.randrange(len(table[0])), rng.random() < 0.5
    n = rng.choice([1, 1, 1, 1_100])
    for i, row in enumerate(table[:-1]):
        if gone:
            del row[j : j + 1]
        else:
            row[j:j] = [f"new{k}" if i == 0 else "1" for k in range(n)]
    return table


@rows
def a_value(rng: random.Random, table: Table, mark: str) -> Table:
    i = _row(rng, table)
    j = rng.randrange(len(table[i]))
    table[i][j] = rng.choice([*NUMBERS, *TIMES, *WORDS])
    return table


@rows
def a_column(rng: random.Random, table: Table, mark: str) -> Table:
    j = rng.randrange(len(table[0]))
    change = rng.choice([
        lambda v: v.replace(".", ","), lambda v: v.replace(",", "."), lambda v: v + "000",
        lambda v: v[:-3], lambda v: v.replace("+05:00", ""), lambda v: v.replace("2024", "1970"),
        lambda v: v.replace("2024", "2094"), lambda v: f" {v} ", lambda v: f'"{v}"',
        lambda v: v.upper(), lambda v: v.replace("-", "/"), lambda v: v.replace("09:", "02:"),
        lambda v: f"'{v}'", lambda v: v.replace("T", " "), lambda v: "", lambda v: v.lower(),
    ])  # fmt: skip
    share = rng.choice([1.0, 1.0, 0.05])
    for row in table[1:-1]:
        if j < len(row) and rng.random() <= share:
            row[j] = change(row[j])
    return table


@rows
def a_number(rng: random.Random, table: Table, mark: str) -> Table:
    for _ in range(rng.choice([1, 3])):
        row = table[_row(rng, table)]
        places = [j for j, v in enumerate(row) if v and set(v) <= set("0123456789.,-+ ")]
        if places:
            row[rng.choice(places)] = rng.choice(NUMBERS)
    return table


@rows
def a_moment(rng: random.Random, table: Table, mark: str) -> Table:
    for _ in range(rng.choice([1, 3])):
        row = table[_row(rng, table)]
        places = [j for j, v in enumerate(row) if v.count(":") >= 2]
        if places:
            j = rng.choice(places)
            row[j] = rng.choice([*TIMES, row[j] + "Z", row[j][:-3], row[j].replace(":", "."),
                                 row[j] + ".5", row[j].replace("2024", "2023")])  # fmt: skip
    return table


@rows
def a_huge_field(rng: random.Random, table: Table, mark: str) -> Table:
    row = table[_row(rng, table)]
    row[rng.randrange(len(row))] = rng.choice(["x", "9", "ж"]) * rng.choice([70, 70_000, 1_200_000])
    return table


@rows
def a_broken_line(rng: random.Random, table: Table, mark: str) -> Table:
    i = _row(rng, table)
    line = mark.join(table[i])
    at = rng.randrange(len(line) + 1)
    put = rng.choice(['"', "\0", "\r", mark, "\n", '""', "\u2028", "\x1c", "\x85", "'"])
    table[i] = (line[:at] + put + line[at:]).split(mark)
    return table


@rows
def another_dialect(rng: random.Random, table: Table, mark: str) -> bytes:
    whole = "\n".join(mark.join(row) for row in table)
    other = rng.choice([";", "\t", "|", ","])
    return rng.choice([
        lambda: whole.replace(mark, other).encode(), lambda: b"\xef\xbb\xbf" + whole.encode(),
        lambda: whole.replace("\n", "\r\n").encode(), lambda: whole.replace("\n", "\r").encode(),
        lambda: whole.encode("utf-16"), lambda: whole.encode("utf-16-le"),
        lambda: whole.encode("cp1251", "replace"), lambda: whole.encode("utf-8") + b"\n\r\n\r",
        lambda: whole.replace("\n", "\n\n").encode(), lambda: b"\n" + whole.encode(),
        lambda: whole.encode()[:-1],
    ])()  # fmt: skip
