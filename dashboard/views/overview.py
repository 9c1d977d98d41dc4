"""Overview: what happened, in one picture."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import charts, frame, queries
from dashboard.charts import escaped
from dashboard.queries import RunKey
from scenarios.report import data, figures
from scenarios.report.html import cards, facts
from scenarios.report.words import GLOSSARY, count, label, sentences
from sim.record.store import Run

CARDS_IN_A_ROW = 4


@frame.page("Overview", "What happened, and can it be believed?")
def page(key: RunKey) -> None:
    """Show the headline figures, the day, the funnel, the money, and the checks."""
    run = queries.opened(key)
    if run.kpis:
        _headline(run)
        for section in queries.told(key, "day", "funnel", "money"):
            charts.show(section, key="overview")
    else:
        _curves(key)
    _trust(run)


def _headline(run: Run) -> None:
    flags = run.kpis.get("red_flags") or []
    if flags:
        told = "\n".join(f"- {escaped(str(flag))}" for flag in flags)
        st.warning(f"**What speaks against this run**\n\n{told}", icon=":material/flag:")
    shown = cards(run.kpis)
    for start in range(0, len(shown), CARDS_IN_A_ROW):
        row = shown[start : start + CARDS_IN_A_ROW]
        for column, card in zip(st.columns(CARDS_IN_A_ROW), row, strict=False):
            with column.container(border=True, height="stretch"):
                st.metric(card["what"], card["value"])
                st.caption(escaped(card["more"]))
    question = run.manifest.get("question")
    if question:
        st.markdown(f"*The scenario asks: {escaped(str(question))}*")
    st.markdown("\n".join(f"- {escaped(text)}" for text in sentences(run.manifest, run.kpis)))


def _curves(key: RunKey) -> None:
    rows = queries.events(key)
    n = queries.n_events(key)
    charts.draw(
        figures.day_curve(rows), f"Network events a second so far, n = {count(n)}",
        key="overview-events",
    )  # fmt: skip


def _trust(run: Run) -> None:
    st.subheader("How do we know?", anchor=False)
    checks = data.audit(run)
    failed = sum(row["failures"] for row in checks)
    made = sum(row["checks"] for row in checks)
    if checks:
        told = f"{count(made)} checks of money, usage, messages and people, {count(failed)} failed."
        (st.error if failed else st.success)(told)
    with st.expander("How this run was made, checked and fed"):
        for name, text in facts(run.manifest):
            st.markdown(f"**{escaped(name)}**: {escaped(text)}")
        if checks:
            charts.data_table(
                pd.DataFrame(checks).rename(columns=label), "Checks after every tick",
                key="overview-audit",
                note="Largest: the largest sum that was compared, in the unit of the check.",
            )  # fmt: skip
        sources = pd.DataFrame(run.manifest.get("data") or [])
        charts.data_table(sources, "Data that was used", key="overview-sources")
        st.caption("Again: `twin run " + str(run.path / "scenario.yaml") + "`")
    with st.expander("Words"):
        st.markdown("\n".join(f"- **{w}**: {escaped(t)}" for w, t in GLOSSARY.items()))


if __name__ == "__main__":
    page()
