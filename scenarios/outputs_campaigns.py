"""What a run leaves of its campaigns beside `kpis.json`: a table for other tools.

It owns the columns of `campaigns.parquet` and `campaigns.csv`: one row for each campaign as a whole
and for each of its sub-groups.  It must not compute a figure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from scenarios.kpis_campaigns import SUMMED

WHOLE = "all"
"""Sub-group of the row that holds a campaign as a whole."""


def campaign_rows(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table, from `campaigns` of kpis.json."""
    rows = []
    for name, campaign in told.items():
        for group, found in ((WHOLE, campaign), *campaign["groups"].items()):
            whole = group == WHOLE
            rows.append(
                {
                    "campaign": name,
                    "sub_group": group,
                    "title": campaign["title"],
                    "audience_expected": campaign["audience"]["expected"] if whole else None,
                    "audience_low": campaign["audience"]["low"] if whole else None,
                    "audience_high": campaign["audience"]["high"] if whole else None,
                    **{
                        key: campaign[key] if whole else None
                        for key in ("looked", "fitting", "barred", "clashed", "points")
                    },
                    **{key: found[key] for key in SUMMED},
                    **{
                        f"uplift_{key}": found["uplift"][key]
                        for key in ("value", "low", "high", "n_treated", "n_withheld")
                    },
                    "true_uplift": found["true_uplift"],
                }
            )
    return rows


def write_campaigns(recorder: Any, folder: Any, told: Mapping[str, Any]) -> None:
    """Write the table into a run folder, as Parquet and as CSV; nothing without campaigns."""
    rows = campaign_rows(told)
    if not rows:
        return
    names = list(rows[0])
    recorder.write_table("campaigns", {name: [row[name] for row in rows] for name in names})
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder.write_text("campaigns.csv", text.getvalue())
