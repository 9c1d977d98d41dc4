"""Every counter of the product: name, dimensions, unit, meaning, and the role that counts it.

It owns the declarations that run folders, KPIs and reports read.  It must not know how a role
counts, nor how a figure shows it.
"""

from __future__ import annotations

from sim.core.metrics import Metric

SUBSCRIBER_METRICS = (
    Metric("events", ("activity_kind",), "rows", "network events by kind"),
    Metric("asked_units", ("rating_group",), "s, pieces or bytes", "use asked for"),
    Metric("blocked", ("rating_group",), "uses", "uses that the network refused or starved"),
    Metric("needs_born", ("need",), "needs", "needs that came alive"),
    Metric("organic_purchases", ("need",), "purchases", "bought without an offer"),
    Metric("exposures_made", (), "messages", "delivered messages that people hold"),
    Metric("exposures_ended", (), "messages", "of these, answered or forgotten"),
    Metric("exposures_lost", (), "messages", "deliveries that reached a line that had left"),
    Metric("seen", ("use_case",), "messages", "messages seen"),
    Metric("clicked", ("use_case",), "answers", "messages opened"),
    Metric("accepted", ("use_case",), "answers", "offers accepted"),
    Metric("opted_out", ("use_case",), "answers", "marketing consent withdrawn"),
    Metric("truth_n", ("use_case",), "winners", "treated winners with both worlds known"),
    Metric("truth_y1_minor", ("use_case",), "minor", "margin within the horizon with the message"),
    Metric("truth_y0_minor", ("use_case",), "minor", "margin within the horizon without it"),
    Metric("truth_bought1", ("use_case",), "winners", "would buy within the horizon with it"),
    Metric("truth_bought0", ("use_case",), "winners", "would buy within the horizon without it"),
    Metric("wow_q", ("use_case",), "1/1000 satisfaction", "satisfaction moved by the use case"),
    Metric("fence_enters", ("fence",), "visits", "true entries"),
    Metric("fence_dwells", ("fence",), "visits", "true stays of at least the dwell time"),
    Metric("fence_exits", ("fence",), "visits", "true exits"),
    Metric("fence_detections", ("fence",), "visits", "believed stays"),
    Metric("fence_true_detections", ("fence",), "visits", "believed stays of people really there"),
    Metric("fence_delay_s", ("fence",), "s", "true dwell until believed, summed over true ones"),
    Metric("placed_heard", (), "messages", "messages laid ready that a line was asked about"),
    Metric("touches_made", (), "messages", "of these, the line comes before they expire"),
    Metric("calls_made", ("call_reason",), "calls", "calls that an event has caused"),
    Metric("left", (), "lines", "lines that left for a rival (latent)"),
    Metric("fell_silent", (), "lines", "lines that began a long silence (latent)"),
    Metric("active_lines", ("hour_of_day",), "line-epochs", "epochs with at least one event"),
)

BILLING_METRICS = (
    Metric("charged_minor", ("rating_group",), "minor", "usage charged, main and bonus money"),
    Metric("bucket_units", ("rating_group",), "s, pieces or bytes", "use taken from allowances"),
    Metric("charged_units", ("rating_group",), "s, pieces or bytes", "use paid for"),
    Metric("free_units", ("rating_group",), "s, pieces or bytes", "use free of charge"),
    Metric("denied_units", ("rating_group",), "s, pieces or bytes", "use denied"),
    Metric("rated", ("result",), "rows", "rated rows by result"),
    Metric("account_events", ("account_kind",), "events", "what happened to accounts"),
    Metric("main_in_recharge_minor", (), "minor", "recharges"),
    Metric("main_in_credit_minor", (), "minor", "trust payments lent"),
    Metric("main_out_usage_minor", (), "minor", "usage paid from main money"),
    Metric("main_out_fee_minor", (), "minor", "recurring fees"),
    Metric("main_out_purchase_minor", (), "minor", "products bought"),
    Metric("main_out_credit_fee_minor", (), "minor", "fees of trust payments"),
    Metric("main_out_repaid_minor", (), "minor", "trust payments paid back"),
    Metric("main_bill_paid_minor", (), "minor", "postpaid bills paid"),
    Metric("bonus_in_minor", (), "minor", "bonus money given"),
    Metric("bonus_out_usage_minor", (), "minor", "usage paid from bonus money"),
    Metric("bonus_out_expired_minor", (), "minor", "bonus money expired"),
    Metric("bonus_out_cancelled_minor", (), "minor", "bonus money taken back"),
    Metric("bucket_in", ("bucket",), "bytes, s or pieces", "allowances granted"),
    Metric("bucket_out_used", ("bucket",), "bytes, s or pieces", "allowances used"),
    Metric("bucket_out_expired", ("bucket",), "bytes, s or pieces", "allowances expired"),
    Metric("debt_in_minor", (), "minor", "trust debt made"),
    Metric("debt_out_minor", (), "minor", "trust debt repaid"),
    Metric("recharges", (), "recharges", "completed recharges"),
    Metric("purchases", ("use_case",), "purchases", "paid purchases through a use case"),
    Metric("purchase_minor", ("use_case",), "minor", "revenue of a use case's purchases"),
    Metric("organic_minor", (), "minor", "revenue of purchases without an offer"),
    Metric("purchases_organic", (), "purchases", "paid purchases without an offer"),
    Metric("purchases_failed", (), "purchases", "not enough money"),
    Metric("reward_minor", ("use_case",), "minor", "gifts and rewards of a use case"),
    Metric("quest_reward_minor", (), "minor", "rewards of quests"),
    Metric("lifecycle", ("lifecycle",), "lines", "lines that came into a state"),
)

RTM_METRICS = (
    Metric("rows_seen", (), "rows", "rows that reached the engine"),
    Metric("rows_lost", (), "rows", "rows lost in capture"),
    Metric("trigger_hits", ("trigger",), "hits", "rules satisfied"),
    Metric("decisions", ("use_case", "reason"), "candidates", "where each candidate ended"),
    Metric("outcomes", ("trigger", "reason"), "decisions", "where each decision ended"),
    Metric("eligible_decisions", ("trigger",), "decisions", "with an eligible candidate"),
    Metric("allowed_decisions", ("trigger",), "decisions", "with an allowed candidate"),
    Metric("intents", ("channel",), "messages", "messages handed to a channel"),
    Metric("intended", ("use_case",), "messages", "messages handed over"),
    Metric("sent_by_case", ("use_case",), "messages", "sent"),
    Metric("delivered_by_case", ("use_case",), "messages", "delivered"),
    Metric("contact_cost_minor", ("use_case",), "minor", "cost of contacts"),
    Metric("ghosts", ("use_case",), "winners", "winners withheld by the local holdout"),
    Metric("exp_opened", ("use_case", "arm"), "winners", "winners whose horizon began"),
    Metric("exp_n", ("use_case", "arm"), "winners", "winners whose horizon ended"),
    Metric("exp_y_minor", ("use_case", "arm"), "minor", "their margin within the horizon"),
    Metric("exp_y2", ("use_case", "arm"), "(minor/16)^2", "sum of squares of it, scaled"),
    Metric("exp_bought", ("use_case", "arm"), "winners", "of these, bought within the horizon"),
    Metric("control_contacts", (), "messages", "messages to control lines: must be 0"),
    Metric("cap_breaches", (), "messages", "messages past a cap: must be 0"),
    Metric("list_breaches", (), "messages", "against consent or a list: must be 0"),
    Metric("quiet_breaches", (), "messages", "marketing in quiet hours: must be 0"),
    Metric("owned_breaches", (), "messages", "for what the line owns: must be 0"),
    Metric("repeat_breaches", (), "messages", "past a limit on repeats: must be 0"),
    Metric("quests_joined", ("quest",), "lines", "quests begun"),
    Metric("quest_steps", ("quest",), "steps", "steps done"),
    Metric("quests_completed", ("quest",), "lines", "quests completed"),
    Metric("quests_lapsed", ("quest",), "lines", "quests that ended unfinished"),
    Metric("rewards_cancelled", ("quest",), "rewards", "rewards taken back"),
    Metric("points", ("quest",), "points", "loyalty points given"),
    Metric("fence_believed_enters", ("fence",), "visits", "believed entries"),
    Metric("fence_believed_exits", ("fence",), "visits", "believed exits"),
    Metric("latency_decision_ms", (), "ms", "rule satisfied until decided", histogram=True),
    Metric("latency_capture_ms", (), "ms", "stage: event until captured", histogram=True),
    Metric("latency_profile_ms", (), "ms", "stage: profile read", histogram=True),
    Metric("latency_decide_ms", (), "ms", "stage: decided", histogram=True),
)

CHANNEL_METRICS = (
    Metric("channel_offered", ("channel",), "messages", "messages that came"),
    Metric("channel_sent", ("channel",), "messages", "messages admitted and sent"),
    Metric("channel_delivered", ("channel",), "messages", "arrived"),
    Metric("channel_failed", ("channel",), "messages", "not delivered"),
    Metric("channel_expired", ("channel",), "messages", "too old when their turn came"),
    Metric("channel_dropped", ("channel",), "messages", "turned away: the queue was full"),
    Metric("channel_cost_minor", ("channel",), "minor", "cost of messages and calls"),
    Metric("channel_busy_us", ("channel",), "us", "time worked, mean of the channel's servers"),
    Metric("channel_placed", ("channel",), "messages", "laid ready at a touch point"),
    Metric("channel_visits", ("channel",), "messages", "of these, the person came in time"),
    Metric("channel_queue_ms", ("channel",), "ms", "wait in the queue", histogram=True),
    Metric(
        "channel_presence_ms",
        ("channel",),
        "ms",
        "laid ready until the person came",
        histogram=True,
    ),
    Metric("latency_channel_ms", (), "ms", "stage: handed over until sent", histogram=True),
    Metric("latency_event_to_send_ms", (), "ms", "rule satisfied until sent", histogram=True),
)

CELL_METRICS = (
    Metric("cell_bytes", (), "bytes", "data carried"),
    Metric("cell_voice_s", (), "s", "voice carried"),
    Metric("cell_attempts", (), "uses", "uses tried"),
    Metric("cell_blocked", (), "uses", "uses refused or starved"),
    Metric("cells_congested", (), "cells", "cells over the congestion mark in the tick"),
    Metric("cells_down", (), "cells", "cells out of service in the tick"),
    Metric("prb_util_q", (), "1/1000", "utilisation of cells", histogram=True),
)

CONTACT_CENTRE_METRICS = (
    Metric("centre_caused", ("call_reason",), "calls", "calls that lines have made"),
    Metric("centre_calls", ("centre", "call_reason"), "calls", "calls that came, retries too"),
    Metric("centre_answered", ("centre",), "calls", "calls that an agent took"),
    Metric("centre_answered_20s", ("centre",), "calls", "of these, within 20 s"),
    Metric("centre_abandoned", ("centre",), "calls", "callers who hung up in the queue"),
    Metric("centre_turned_away", ("centre",), "calls", "calls that found every line taken"),
    Metric("centre_ended", ("centre",), "calls", "answered calls that are over"),
    Metric("centre_retries", ("centre",), "calls", "of the calls, second and further tries"),
    Metric("centre_called_back", ("centre",), "calls", "of the answered, called back"),
    Metric("centre_wait_sum_ms", ("centre",), "ms", "wait of those who were answered"),
    Metric("centre_wait_ms", ("centre",), "ms", "wait of those who were answered", histogram=True),
    Metric("centre_busy_ms", ("centre",), "agent-ms", "time on calls"),
    Metric("centre_duty_ms", ("centre",), "agent-ms", "time on duty, overtime included"),
    Metric("centre_advised", (), "calls", "answered calls with a suggestion of the agent"),
    Metric("centre_useful", (), "calls", "of these, found useful"),
    Metric("centre_fits", (), "calls", "of these, said to fit"),
)

ALL_METRICS = (
    *SUBSCRIBER_METRICS, *BILLING_METRICS, *RTM_METRICS, *CHANNEL_METRICS, *CELL_METRICS,
    *CONTACT_CENTRE_METRICS,
)  # fmt: skip

BUCKETS = ("data", "pack", "voice", "sms")
"""Kinds of allowance: plan data, bought data, plan voice, plan texts."""
ARMS = ("treated", "withheld")
