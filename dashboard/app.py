"""The dashboard: navigation only.

It owns which pages there are and in which order.  Everything else is in `dashboard.frame` and in
the views.
"""

from __future__ import annotations

import streamlit as st

from dashboard.frame import ICON, pick_run

# Reader -> file, title, address and sign of each page. A comment: Streamlit shows texts that
# stand alone in a page.
PAGES = {
    "Viewer": (
        ("views/overview.py", "Overview", "overview", ":material/dashboard:"),
        ("views/map.py", "Map", "map", ":material/map:"),
        ("views/subscriber.py", "One subscriber", "subscriber", ":material/person:"),
    ),
    "Strategist": (("views/use_cases.py", "Use cases", "use-cases", ":material/science:"),),
    "Engineer": (
        ("views/engine.py", "Engine and channels", "engine", ":material/speed:"),
        ("views/live.py", "Live run", "live", ":material/play_circle:"),
    ),
}  # fmt: skip


def main() -> None:
    """Show the chosen page."""
    st.set_page_config(page_title="Operator twin", page_icon=str(ICON), layout="wide")
    st.logo(str(ICON), size="large")
    chosen = st.navigation({
        reader: [
            st.Page(file, title=title, url_path=address, icon=sign, default=title == "Overview")
            for file, title, address, sign in rows
        ]
        for reader, rows in PAGES.items()
    })  # fmt: skip
    st.session_state["run_info"] = pick_run()
    st.sidebar.caption("A digital twin of a mobile operator. Nothing leaves this machine.")
    chosen.run()


if __name__ == "__main__":
    main()
