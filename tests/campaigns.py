"""Campaigns that tests share, and how to find their use cases in a run."""

from __future__ import annotations

from typing import Any

from actors import messages as m
from tests.factories import Run

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DATA = {
    "campaign": "data_now",
    "title": "Data now",
    "audience": "smartphone and tenure_days >= 30",
    "groups": [
        {"group": "app", "when": "app", "offer": "plan_limit_pack", "discount": 0.5,
         "channels": ["push"], "points": 40},
        {"group": "rest", "offer": "plan_limit_pack", "channels": ["sms"]},
    ],
    "schedule": {"days": 1, "from_h": 10, "to_h": 18},
    "participation": {"not_with": ["gift_now"]},
}  # fmt: skip
GIFT = {
    "campaign": "gift_now",
    "title": "A gift now",
    "audience": "segment in [mass, youth] and prepaid",
    "groups": [{"group": "all", "offer": "return_gift"}],
    "schedule": {"days": 1, "from_h": 9, "to_h": 20},
    "control": {"local_percent": 30},
}
NOBODY = {**GIFT, "campaign": "nobody", "audience": "tenure_days > 60000"}
STEPS = {
    "campaign": "steps",
    "title": "Text, call, shop",
    "audience": "tenure_days >= 30",
    "groups": [{"group": "all", "offer": "plan_limit_pack", "channels": ["sms"]}],
    "waves": [
        {"after_h": 2, "channels": ["call"]},
        {"after_h": 1.5, "channels": ["push", "sms"], "offer": "return_gift"},
    ],
    "schedule": {"days": 1, "from_h": 9, "to_h": 21},
    "control": {"local_percent": 25},
}
SURVEY = {
    "campaign": "poll",
    "title": "What would you like?",
    "audience": "tenure_days >= 30",
    "groups": [{"group": "all", "offer": "plan_limit_pack", "channels": ["sms"]}],
    "survey": {
        "replies": 0.9,
        "after_min": 3,
        "answers": [
            {"answer": "data", "category": "data", "offer": "plan_limit_pack", "channels": ["sms"]},
            {"answer": "gift", "category": "loyalty", "offer": "return_gift"},
        ],
    },
    "schedule": {"days": 1, "from_h": 9, "to_h": 18},
    "control": {"local_percent": 20},
}
EASY = {
    "rtm.cap.contacts": 15,
    "subscribers.answers.seen_share": 1,
    "subscribers.answers.delay_median_min": 20,
    "contact_centre.enabled": False,
    "catalog.initiatives": ["B1", "B4"],
}
"""Few use cases and no cap on contacts, so that a small base has something to count."""


def scenario(*campaigns: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return options of a scenario with these campaigns and no others."""
    return {
        **EASY,
        "catalog.define": {
            "campaigns": {c["campaign"]: c for c in campaigns},
            "offers": {"plan_limit_pack": {"truth": {"b0": 1}}},
        },
        "catalog.campaigns": [c["campaign"] for c in campaigns],
        **more,
    }


def case_of(run: Run, name: str) -> int:
    """Return the number of a use case."""
    return run.world.labels["use_case"].index(name)


def heard(run: Run, case: int) -> int:
    """Return how many acceptances of a use case the engine has heard of."""
    rows = run.rows("activity")
    mine = (rows["kind"] == m.RESPONSE) & (rows["code"] == m.ACCEPT) & (rows["ref"] == case)
    return int(mine.sum())
