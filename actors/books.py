"""The books of the twin: every identity that the auditor checks on every tick.

It owns the list of checks in terms of the declared metrics and ledgers.  It must not know how a
check is run.
"""

from __future__ import annotations

from actors import messages as m
from actors.metrics import BUCKETS
from sim.core.checks import Equal, Stock, Sum

_BUCKET_KEYS = ("bucket_data", "bucket_pack", "bucket_voice", "bucket_sms")

CHECKS = (
    Stock(
        "main money", "main_minor",
        plus=("main_in_recharge_minor", "main_in_credit_minor", "main_bill_paid_minor"),
        minus=("main_out_usage_minor", "main_out_fee_minor", "main_out_purchase_minor",
               "main_out_credit_fee_minor", "main_out_repaid_minor"),
    ),
    Stock(
        "bonus money", "bonus_minor", plus=("bonus_in_minor",),
        minus=("bonus_out_usage_minor", "bonus_out_expired_minor", "bonus_out_cancelled_minor"),
    ),
    Stock("trust debt", "debt_minor", plus=("debt_in_minor",), minus=("debt_out_minor",)),
    *(
        Stock(f"allowance: {label}", key, plus=(("bucket_in", k),),
              minus=(("bucket_out_used", k), ("bucket_out_expired", k)))
        for k, (label, key) in enumerate(zip(BUCKETS, _BUCKET_KEYS, strict=True))
    ),
    Equal("use asked for = allowance + paid + free + denied", ("asked_units",),
          ("bucket_units", "charged_units", "free_units", "denied_units"), lanes=True),
    Equal("allowances used, both sides", ("bucket_out_used",), ("bucket_units",)),
    Equal("usage charged = main + bonus", ("charged_minor",),
          ("main_out_usage_minor", "bonus_out_usage_minor")),
    Equal("uses = rated rows", (("events", m.USAGE),), ("rated",)),
    Equal("rows made = rows seen by the engine", ("events", "rows_arrived"),
          ("rows_seen", "rows_late", "rows_too_late")),
    Stock("rows under way", "rows_waiting", plus=("rows_late",), minus=("rows_arrived",)),
    Equal("recharges made = recharges booked", (("events", m.RECHARGE),), ("recharges",)),
    Equal("purchases = sold + refused", (("events", m.PURCHASE),),
          ("purchases", "purchases_organic", "purchases_failed")),
    Sum("people", ("lines_reserved", "lines_here", "lines_left", "lines_cut"), "lines"),
    Sum("accounts", ("accounts_reserved", "accounts_active", "accounts_suspended",
                     "accounts_churned"), "accounts"),
    Stock("answers held", "exposures_open", plus=("exposures_made",), minus=("exposures_ended",)),
    Equal("decisions = rules satisfied", ("trigger_hits",), ("outcomes",)),
    Equal("winners = intended + withheld", ("exp_opened",), ("intended", "ghosts")),
    Equal("intents handed over = messages offered", ("intents",), ("channel_offered",)),
    Equal("intents by channel = by use case", ("intents",), ("intended",)),
    Stock("messages waiting", "channel_waiting", plus=("channel_offered",),
          minus=("channel_sent", "channel_expired", "channel_dropped")),
    Equal("visits announced = messages taken up", ("touches_made",), ("channel_visits",)),
    Equal("sent = delivered + failed", ("channel_sent",), ("channel_delivered", "channel_failed")),
    Stock("messages on their way", "in_flight_Delivery",
          plus=("channel_sent", "channel_expired", "channel_dropped"), minus=("truth_n",)),
    Stock("news of what lies ready", "in_flight_Placed", plus=("channel_placed",),
          minus=("placed_heard",)),
    Stock("open horizons", "experiments_open", plus=("exp_opened",), minus=("exp_n",)),
    Stock("games", "quests_open", plus=("quests_joined",),
          minus=("quests_completed", "quests_lapsed")),
    Equal("games completed = rewards asked for", ("quests_completed",), ("claims_made",),
          lanes=True),
    Equal("rewards asked for = granted + refused", ("claims_made",),
          ("claims_granted", "claims_refused"), lanes=True),
    Stock("grants on their way", "in_flight_Grant", plus=("grants_made",),
          minus=("grants_taken",)),
    Stock("loyalty points", "points_open", plus=("points", "campaign_points"),
          minus=("points_redeemed", "points_expired", "points_cancelled")),
    Equal("no reward past a budget or stock", ("limit_breaches",)),
    Stock("trials", "trials_open", plus=("trials_opened",), minus=("trials_settled",)),
    Equal("trials settled = lessons heard", ("trials_settled",), ("lessons_heard",), lanes=True),
    Equal("calls made = calls handed over", ("calls_made",), ("centre_caused",), lanes=True),
    Stock("ends of calls on their way", "in_flight_CallOutcome", plus=("centre_told",),
          minus=("calls_heard",)),
    Equal("ends of calls, people and engine", ("calls_heard",), ("calls_seen",), lanes=True),
    Stock("calls waiting", "calls_waiting", plus=("centre_calls",),
          minus=("centre_answered", "centre_abandoned", "centre_turned_away")),
    Stock("calls being answered", "calls_served", plus=("centre_answered",),
          minus=("centre_ended",)),
    Equal("no message to a control line", ("control_contacts",)),
    Equal("no message past a cap", ("cap_breaches",)),
    Equal("no message against consent or a list", ("list_breaches",)),
    Equal("no marketing in quiet hours", ("quiet_breaches",)),
    Equal("no message for what is owned", ("owned_breaches",)),
    Equal("no message past a limit on repeats", ("repeat_breaches",)),
    Equal("no message against rules of participation", ("campaign_breaches",)),
)  # fmt: skip
