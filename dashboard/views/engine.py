"""Engine and channels: where milliseconds and messages go, and whether the game works."""

from __future__ import annotations

import streamlit as st

from dashboard import charts, frame, queries
from dashboard.queries import RunKey


@frame.page(
    "Engine and channels", "Is the promise of one second kept, and what must be sized for it?"
)
def page(key: RunKey) -> None:
    """Show latency, channels, sizes of the busy hour and quests."""
    if not queries.opened(key).kpis:
        st.info("These figures are computed when the run is complete.")
        return
    for section in queries.told(key, "latency", "channels", "busy-hour", "quests"):
        # Percentiles carry texts at their ends, which need the whole width.
        charts.show(section, key="engine", in_a_row=1 if section.name == "latency" else 2)


if __name__ == "__main__":
    page()
