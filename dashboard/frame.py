"""What every page has: run picker, question, chips, empty and error states.

It owns which run is chosen and what is said where there is none, or where it cannot be read.  It
must not know any page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dashboard import queries
from dashboard.charts import escaped
from dashboard.queries import RunKey
from scenarios.report.words import dig, percent
from sim.core.errors import TwinError
from sim.record.folder import PART
from sim.record.store import RunInfo

ICON = Path(__file__).parent / "static" / "icon.png"
STATES = {
    "complete": ("green", "complete"), "running": ("blue", "running"),
    "interrupted": ("orange", "interrupted"), "killed": ("orange", "stopped hard"),
    "failed": ("red", "failed"), "damaged": ("red", "damaged"),
}  # fmt: skip
"""State of a run -> colour of its badge, word."""
FIRST_RUN = "twin run city_day --subscribers 50000"


def runs_dir() -> Path:
    """Return the folder of runs: that of `--runs` behind `--` on the command line of the server."""
    chosen = st.session_state.get("runs_dir")
    if chosen is None:
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("--runs", default="runs")
        chosen = parser.parse_known_args(sys.argv[1:])[0].runs
        st.session_state["runs_dir"] = chosen
    return Path(chosen).resolve()


def pick_run() -> RunInfo | None:
    """Show the picker in the sidebar, keep the choice in the address, and return the run."""
    found = queries.runs(str(runs_dir()))
    with st.sidebar:
        if not found:
            st.caption(f"No runs in `{runs_dir()}`")
            return None
        by_name = {info.path.name: info for info in found}
        names = list(by_name)
        wanted = _wanted(names) or _best(found)
        if st.session_state.get("run_picked") not in names:
            st.session_state["run_picked"] = wanted
        name = st.selectbox(
            "Run", names, key="run_picked", format_func=lambda n: _told(by_name[n]),
            help="Youngest first. Type to search.",
        )  # fmt: skip
        name = name if name in by_name else wanted
        st.session_state["run_name"] = name
        st.query_params["run"] = name
        return by_name[name]


def _wanted(names: list[str]) -> str | None:
    """Return the run that was chosen before or is in the address, though it became complete."""
    for wanted in (st.session_state.get("run_name"), st.query_params.get("run")):
        for name in (wanted, str(wanted or "").removesuffix(PART)):
            if name in names:
                return name
    return None


def _best(found: list[RunInfo]) -> str:
    complete = [info for info in found if info.state == "complete"]
    return (complete or found)[0].path.name


def _told(info: RunInfo) -> str:
    return info.name if info.state == "complete" else f"{info.name} · {STATES[info.state][1]}"


def page(title: str, question: str) -> Callable[[Callable[[RunKey], None]], Callable[[], None]]:
    """Make a page of a function of a run: with the question on top, and a state for every case."""

    def decorate(body: Callable[[RunKey], None]) -> Callable[[], None]:
        def show() -> None:
            info: RunInfo | None = st.session_state.get("run_info")
            st.title(title, anchor=False)
            st.markdown(f"##### {question}")
            if info is None:
                empty()
                return
            try:
                chips(info)
                if info.state == "damaged":
                    queries.open_run(info.path)
                body(queries.key_of(info))
            except TwinError as error:
                if became_complete(info):
                    queries.runs.clear()
                    st.rerun()
                wrong(error)

        return show

    return decorate


def became_complete(info: RunInfo) -> bool:
    """Return whether a run was finished, and its folder renamed, since the list was made."""
    renamed = info.path.with_name(info.name)
    return info.path.name.endswith(PART) and not info.path.is_dir() and renamed.is_dir()


def empty() -> None:
    """Say what to do where there is no run yet."""
    st.info(
        f"There is no run in `{runs_dir()}` yet. Make one in a terminal, or start one on the page "
        "*Live run*; this page shows it as soon as it is there.",
        icon=":material/inbox:",
    )
    st.code(f"{FIRST_RUN} --out {runs_dir() / 'first'}", language="bash")


def wrong(error: TwinError) -> None:
    """Say which file is wrong and what was found, without a trace."""
    st.error(f"This run cannot be shown. {escaped(str(error))}", icon=":material/error:")
    st.caption("Choose another run in the sidebar, or make this one again. Other runs still open.")


def chips(info: RunInfo) -> None:
    """Say which run it is: state, scenario, seed, hash, start, and that all data are synthetic."""
    colour, word = STATES.get(info.state, ("gray", info.state))
    manifest = info.manifest
    marks = [f":orange-badge[synthetic data] :{colour}-badge[{word}]"]
    for name, value in (
        ("scenario", manifest.get("scenario")), ("seed", manifest.get("seed")),
        ("hash", str(manifest.get("scenario_hash") or "")[:8]),
        ("lines", f"{manifest['subscribers']:,}" if manifest.get("subscribers") else None),
        ("from", str(manifest.get("start") or "").replace("T", " ")),
    ):  # fmt: skip
        if value not in (None, ""):
            marks.append(f":gray-badge[{escaped(f'{name} {value}')}]")
    st.markdown(" ".join(marks))
    if info.state != "complete":
        _partial(info)


def _partial(info: RunInfo) -> None:
    share = dig(info.status, "share")
    done = f" at {percent(share, 0)} of its time" if share is not None else ""
    reason = info.manifest.get("error") or info.status.get("error")
    text = {
        "running": f"This run is under way{done}. Curves and rows grow with it; headline figures, "
        "use cases and estimates are computed at its end.",
        "interrupted": f"This run was interrupted{done}. Its curves and rows are shown; headline "
        "figures come when it is resumed with `--resume` and reaches its end.",
        "killed": f"This run stopped hard{done}, without saying goodbye. `--resume` goes on from "
        "its last checkpoint.",
        "failed": f"This run failed{done}" + (f": {escaped(str(reason))}" if reason else "."),
    }.get(info.state)
    if text:
        (st.error if info.state == "failed" else st.warning)(text)
