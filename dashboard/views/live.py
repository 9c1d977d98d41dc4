"""Live run: how far, how fast, how healthy; and a form that starts one."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, frame, live, queries
from dashboard.charts import escaped
from scenarios.report.words import NONE, counted, short
from sim.core.errors import TwinError
from sim.record.store import RunInfo

EVERY_S = 1.0
UNFINISHED_MAX = 6
HISTORY = 120  # points of the small curve of the rate: two minutes
STALE_S = 60.0
# A card that is drawn anew each second must not turn grey meanwhile: a run leaves little CPU.
# (A bare string would be shown: Streamlit prints the loose expressions of a page.)
NO_FADING = '<style>[data-stale="true"] {opacity: 1 !important}</style>'


def page() -> None:
    """Show unfinished runs as they are now, the form, and all runs."""
    st.title("Live run", anchor=False)
    st.markdown("##### How far is it, how fast, and is it healthy?")
    st.markdown(":orange-badge[synthetic data]")
    st.html(NO_FADING)
    _form()
    under_way()
    st.subheader("All runs", anchor=False)
    found = queries.runs(str(frame.runs_dir()))
    if not found:
        frame.empty()
        return
    charts.data_table(
        pd.DataFrame([_line(info) for info in found]),
        f"{counted(len(found), 'run')}, youngest first",
        key="runs",
        columns={"events a second": st.column_config.NumberColumn(format="compact"),
                 "subscribers": st.column_config.NumberColumn(format="localized")},
        note=f"In {frame.runs_dir()}",
    )  # fmt: skip


def _form() -> None:
    with st.expander("Start a run", icon=":material/play_arrow:"):
        try:
            shipped = {row["name"]: row for row in live.shipped()}
        except (TwinError, OSError, ValueError) as error:
            st.error(f"The scenarios cannot be listed. {escaped(str(error))}")
            return
        with st.form("live-start", border=False):
            one, two, three = st.columns(3)
            names = list(shipped)
            scenario = one.selectbox(
                "Scenario", names, index=names.index("city_day") if "city_day" in names else 0,
                key="live-scenario",
                help="\n".join(f"- **{n}**: {escaped(str(r.get('question') or ''))}"
                               for n, r in shipped.items()),
            )  # fmt: skip
            subscribers = two.number_input(
                "Simulated lines", 1, live.SUBSCRIBERS_MAX, 20_000, step=10_000, key="live-lines"
            )
            days = three.number_input(
                "Days", 0.05, live.DAYS_MAX, 1.0, step=0.5, format="%.2f", key="live-days"
            )
            one, two, three = st.columns(3, vertical_alignment="bottom")
            seed = one.number_input(
                "Seed (empty: that of the scenario)", 0, 2**31 - 1, None, key="live-seed"
            )
            name = two.text_input("Name", key="live-name", placeholder="made from the scenario")
            go = three.form_submit_button("Start", type="primary", width="stretch")
        if go and scenario:
            _start(scenario, int(subscribers), float(days), seed, name.strip())


def _start(scenario: str, subscribers: int, days: float, seed: int | None, name: str) -> None:
    try:
        run = live.start(
            frame.runs_dir(), scenario=scenario, subscribers=subscribers, days=days, seed=seed,
            name=name or f"{scenario}-{subscribers}",
        )  # fmt: skip
    except (TwinError, OSError) as error:
        st.error(f"The run was not started. {escaped(str(error))}")
        return
    queries.runs.clear()
    st.success(f"Started as `{run.name}`. It goes on when this page is closed.")
    st.code(" ".join(["twin", *run.command[run.command.index("run") :]]), language="bash")


@st.fragment(run_every=EVERY_S)
def under_way() -> None:
    """Show every run that is not complete, once a second, from its status file."""
    found = queries.runs(str(frame.runs_dir()))
    unfinished = [info for info in found if info.state not in ("complete", "damaged")]
    own = {run.name: run for run in live.started()}
    known = {info.name for info in found}
    for run in own.values():
        if run.name not in known:
            _not_yet(run)
    running = [info for info in unfinished if info.state == "running"]
    others = [info for info in unfinished if info.state != "running"]
    if not unfinished and all(name in known for name in own):
        st.info("No run is under way, and none was left unfinished.", icon=":material/check:")
    for info in [*running, *others][:UNFINISHED_MAX]:
        _card(info, own.get(info.name))
    rest = len(unfinished) - UNFINISHED_MAX
    if rest > 0:
        st.caption(f"{rest} more unfinished runs stand in the table below.")


def _not_yet(run: live.Started) -> None:
    if run.code is None:
        st.info(f"`{run.name}` is starting ...")
    elif run.code:
        st.error(f"`{run.name}` ended with exit code {run.code}.")
        st.code(live.last_words(run), language=None)


def _card(info: RunInfo, own: live.Started | None) -> None:
    status = info.status
    with st.container(border=True):
        colour, word = frame.STATES.get(info.state, ("gray", info.state))
        left, right = st.columns([5, 1], vertical_alignment="center")
        phase = str(status.get("phase") or "")
        doing = live.PHASES.get(phase, phase)
        if info.state != "running":
            doing = f"while {doing}" if phase else ""
        left.markdown(f"**{escaped(info.name)}** :{colour}-badge[{word}] {escaped(doing)}")
        if own is not None and own.code is None:
            right.button(
                "Stop", key=f"stop-{info.name}", on_click=live.stop, args=(own,), width="stretch",
                icon=":material/stop:", help="As Ctrl-C: the state is saved, --resume goes on.",
            )  # fmt: skip
        share, words = live.progress(status)
        st.progress(share, text=words)
        history = _history(info)
        for column, (name, value) in zip(st.columns(6), live.figures(status), strict=True):
            chart = history if name == "events a second" and len(history) > 2 else None
            column.metric(name, value, chart_data=chart, chart_type="area")
        _notes(info)


def _history(info: RunInfo) -> list[float]:
    """Keep the rates that this reader has seen of a running run, and return them."""
    kept: dict[str, list[float]] = st.session_state.setdefault("rates", {})
    rates = kept.setdefault(info.path.name, [])
    rate = info.status.get("events_per_second")
    if rate is not None and info.state == "running":
        rates.append(float(rate))
        del rates[:-HISTORY]
    return rates


def _notes(info: RunInfo) -> None:
    reason = info.manifest.get("error") or info.status.get("error")
    age = live.age_s(info.status)
    if info.state == "failed":
        st.error(escaped(str(reason or "it failed without a reason")))
    elif info.state in ("interrupted", "killed"):
        st.caption(f"Go on: `twin run {info.path / 'scenario.yaml'} "
                   f"--out {info.path.with_name(info.name)} --resume`")  # fmt: skip
    elif age is not None and age > STALE_S:
        st.caption(f"Last heard of {live.span(age)} ago.")
    if info.status.get("recoveries"):
        st.caption(f"{info.status['recoveries']} lost hosts were restored.")


def _line(info: RunInfo) -> dict[str, Any]:
    manifest, done = info.manifest, info.status
    complete = info.state == "complete"
    sim_s = manifest.get("sim_seconds") if complete else (done.get("sim_ms") or 0) / 1000
    return {
        "run": info.name, "state": frame.STATES.get(info.state, ("", info.state))[1],
        "scenario": manifest.get("scenario") or NONE, "seed": manifest.get("seed"),
        "subscribers": manifest.get("subscribers"),
        "days": None if sim_s is None else round(sim_s / 86_400, 3),
        "events": short(manifest.get("events_total") if complete else done.get("events")),
        "events a second": (manifest if complete else done).get("events_per_second"),
        "wall, s": manifest.get("wall_seconds") if info.state != "running" else None,
        "hash": str(manifest.get("scenario_hash") or "")[:8],
        "digest": manifest.get("state_digest"),
    }  # fmt: skip


if __name__ == "__main__":
    page()
