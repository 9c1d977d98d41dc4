"""One subscriber: a recorded line's day, every decision about it, and what was true."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, figures, frame, live, queries, stories
from dashboard.charts import escaped
from dashboard.queries import RunKey
from scenarios import stages as way
from scenarios.report.words import count, counted
from sim.core.errors import TwinError

TABLES = ("activity", "account_events", "decisions", "contacts", "detections")


@frame.page("One subscriber", "What happened to one person, and why did they get this message?")
def page(key: RunKey) -> None:
    """Show one line: lanes, decisions stage by stage, truth, and all its rows."""
    known = queries.lines(key)
    if known.empty:
        st.info(
            "No line was recorded in this run: the sample (`record.sample`) caught nobody, or "
            "nothing has happened yet. `--watch 0` keeps every row of line 0."
        )
        return
    sub = _pick(key, known)
    if sub is None:
        return
    tables = {name: queries.rows_of(key, name, sub) for name in TABLES}
    _numbers(tables)
    run = queries.opened(key)
    currency = queries.currency(key)
    n = sum(len(rows) for rows in tables.values())
    charts.draw(
        figures.lanes(tables, currency),
        f"Line {sub}: location, usage, account, decisions, messages and balance, "
        f"n = {count(n)} rows",
        key="sub-lanes",
    )
    st.caption(
        "Location: each bar is a stay at a serving cell, shades only tell neighbours apart. Point "
        "at a mark for what it was; drag to zoom, double click to see all again."
    )
    _decisions(key, tables, currency)
    with st.expander("Who is this? (the line lives its day again, which takes up to a minute)"):
        _profile(run.path.as_posix(), sub, complete=run.complete)
    with st.expander("Every row of this line"):
        charts.data_table(pd.DataFrame(stories.day(tables)), f"{count(n)} rows, by time",
                          key=f"line-{sub}", height=420)  # fmt: skip


def _pick(key: RunKey, known: Any) -> int | None:
    """Return the line that was chosen, from the list, the field, or the address."""
    subs = [int(s) for s in known["sub"].head(queries.LINES_MAX)]
    told = {
        int(row["sub"]): f"line {row['sub']} · {counted(row['decisions'], 'decision')}, "
        f"{counted(row['messages'], 'message')}"
        for row in known.head(queries.LINES_MAX).to_dict("records")
    }
    everyone = {int(s) for s in known["sub"]}
    asked = str(st.query_params.get("sub", ""))
    first = int(asked) if asked.isdigit() and int(asked) in everyone else subs[0]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    options = subs if first in subs else [first, *subs]
    chosen = left.selectbox(
        f"Recorded line (of {count(len(everyone))}; those with most messages first)", options,
        index=options.index(first), format_func=lambda s: told.get(s, f"line {s}"),
        key=f"sub-{key.path}",
    )  # fmt: skip
    typed = right.text_input("or its number", key="sub-typed", placeholder="4711").strip()
    if typed:
        if not typed.isdigit() or int(typed) not in everyone:
            st.warning(f"Line {escaped(typed)} is not among the recorded lines. "
                       "This tells its day all the same:")  # fmt: skip
            number = typed if typed.isdigit() else "N"
            st.code(f"twin explain {key.path} --sub {number}", language="bash")
            return None
        chosen = int(typed)
    st.query_params["sub"] = str(chosen)
    return int(chosen)


def _numbers(tables: dict[str, Any]) -> None:
    activity, contacts = tables["activity"], tables["contacts"]
    usage = int((activity["kind"] == "usage").sum()) if not activity.empty else 0
    places = int(activity["cell"].dropna().nunique()) if not activity.empty else 0
    seen = None
    if not contacts.empty and "seen" in contacts:
        seen = int(contacts["seen"].fillna(0).sum())
    values = (
        ("charged uses", count(usage)), ("serving cells", count(places)),
        ("decisions", count(len(tables["decisions"]))), ("messages", count(len(contacts))),
        ("messages seen", count(seen)),
        ("stays believed", count(len(tables["detections"]))),
    )  # fmt: skip
    for column, (name, value) in zip(st.columns(len(values)), values, strict=True):
        column.metric(name, value, border=True)


def _decisions(key: RunKey, tables: dict[str, Any], currency: str) -> None:
    st.subheader("Why did they get this, or nothing?", anchor=False)
    rows = tables["decisions"]
    if rows.empty:
        st.info("No rule was satisfied for this line.")
        return
    records = rows.to_dict("records")
    first = next((i for i, r in enumerate(records) if r["reason"] == "intended"), 0)
    number = st.selectbox(
        f"Decision (of {count(len(records))})", range(len(records)), index=first,
        format_func=lambda i: stories.title(records[i], _clock(key, int(records[i]["ts_ms"]))),
        key=f"sub-decision-{key.path}-{records[0]['sub']}",
    )  # fmt: skip
    row = records[number]
    message = way.message_of(row, tables["contacts"])
    left, right = st.columns([3, 2])
    with left:
        charts.data_table(
            pd.DataFrame(stories.stages(row, message, currency)), "What the engine did",
            key=f"line-{row['sub']}-decision-{number + 1}",
            # Names of use cases are longer than a column is by itself.
            columns={"result": st.column_config.TextColumn(width="medium"),
                     "what it means": st.column_config.TextColumn(width="large")},
        )  # fmt: skip
    with right:
        st.markdown("**What only the twin knows**")
        known = way.truth(message, lambda ms: _clock(key, ms), currency)
        with st.container(border=True):
            for name, value in known:
                st.markdown(f"{name}: **{escaped(value)}**")
            if not known:
                st.caption(_no_truth(message))


def _no_truth(message: Any) -> str:
    if message is None:
        return ("Nothing was sent, so both worlds are the same: this is what the person would have "
                "done anyway.")  # fmt: skip
    return "Both worlds of this message are written when its horizon has ended."


def _clock(key: RunKey, ts_ms: int) -> str:
    moment = list(queries.moments(key, pd.Series([ts_ms])))[0]
    return f"{moment:%a %H:%M:%S}" if hasattr(moment, "strftime") else f"hour {moment:.2f}"


def _profile(path: str, sub: int, *, complete: bool) -> None:
    if not complete:
        st.caption("A line is lived again when its run is complete.")
        return
    told = st.session_state.setdefault("told_lines", {})
    if (path, sub) not in told:
        if not st.button("Live this day again", key="sub-again", icon=":material/replay:"):
            st.caption(f"The same in a terminal: `twin explain {path} --sub {sub}`")
            return
        try:
            with st.spinner("The line lives its day again ...", show_time=True):
                told[path, sub] = live.ask("explain", path, "--sub", str(sub))
        except TwinError as error:
            st.error(f"It could not be told. {escaped(str(error))}")
            return
    answer = told[path, sub]
    st.success(escaped(str(answer.get("note") or "")))
    profile = answer.get("profile") or {}
    st.markdown("\n".join(f"- {escaped(str(n))}: **{escaped(str(v))}**"
                          for n, v in profile.items()))  # fmt: skip


if __name__ == "__main__":
    page()
