"""Every message that crosses a border between roles: the contract, readable in one sitting.

It owns the schemas, the codes that stand in their columns, and the edge on which each travels.
It must not know how a role makes or uses them.

Times are `int64` ms since the start of the scenario, money is `int64` minor units, data is bytes,
voice is seconds, texts are pieces.  `sub` is the global id of a line.  `use_case` is a dense index
of the run's catalogue (-1: none); recorded rows carry its name.
"""

from __future__ import annotations

import hashlib

from sim.core.columns import Field, Schema

VERSION = 1

# --- kinds of `Activity` rows ---------------------------------------------------------------
USAGE = 0
"""Use of a service: `code` rating group, `units` s, pieces or bytes, `ref` 1 where data was slow
(under `SLOW_KBPS`), else 0."""
LOCATION = 1
"""The network saw the phone in `cell`: `code` is the procedure."""
VISIT = 2
"""A page, app or shop site was opened: `ref` says which kind (`VISIT_KINDS`), `units` how many
pages were seen."""
BLOCKED = 3
"""The network refused or starved a use: `code` rating group, `units` what was asked."""
RECHARGE_START = 4
"""A top-up was begun: `units` the intended sum."""
RECHARGE = 5
"""A top-up was completed: `units` the sum."""
PURCHASE = 6
"""A product was bought: `code` is `ORGANIC` or `OFFERED`, `ref` the use case, `units` the price."""
RESPONSE = 7
"""An answer to a message: `code` says which, `ref` the use case."""
SLOW_KBPS = 1_000
"""Data below this many kbit/s is slow."""

ACTIVITY_KINDS = (
    "usage", "location", "visit", "blocked", "recharge_start", "recharge", "purchase", "response",
)  # fmt: skip

REPLAYED_KINDS = (USAGE, LOCATION, VISIT, BLOCKED, RECHARGE_START, RECHARGE)
"""What a tape holds and a replay puts back; purchases and answers stay simulated (ADR 0008)."""

RATING_GROUPS = (
    "voice_onnet", "voice_offnet", "voice_international", "sms", "data_general", "data_video",
    "data_social", "data_messaging", "roaming_voice", "roaming_sms", "roaming_data",
)  # fmt: skip
VOICE_ONNET, VOICE_OFFNET, VOICE_INTL, SMS = 0, 1, 2, 3
DATA_GENERAL, DATA_VIDEO, DATA_SOCIAL, DATA_MESSAGING = 4, 5, 6, 7
ROAM_VOICE, ROAM_SMS, ROAM_DATA = 8, 9, 10

PROCEDURES = ("update", "handover", "attach", "roaming_attach")
UPDATE, HANDOVER, ATTACH, ROAMING_ATTACH = 0, 1, 2, 3

VISIT_KINDS = ("content", "shop", "cart", "rival", "finance", "travel")
VISIT_CONTENT, VISIT_SHOP, VISIT_CART, VISIT_RIVAL, VISIT_FINANCE, VISIT_TRAVEL = 0, 1, 2, 3, 4, 5

ORGANIC, OFFERED = 0, 1
RESPONSES = ("seen", "click", "accept", "opt_out", "check_in", "reply")
SEEN, CLICK, ACCEPT, OPT_OUT, CHECK_IN, REPLY = 0, 1, 2, 3, 4, 5
"""A check-in names a geofence as `ref`; all others name a use case.  The units of a reply are the
number of the answer that was chosen."""

# --- `Rated.result` ---------------------------------------------------------------------------
RESULTS = ("free", "bucket", "charged", "partial", "denied", "not_rated")
FREE, BUCKET, CHARGED, PARTIAL, DENIED, NOT_RATED = 0, 1, 2, 3, 4, 5

# --- `AccountEvent.kind` ------------------------------------------------------------------------
ACCOUNT_KINDS = (
    "fee_paid", "fee_failed", "low_balance", "zero_balance", "allowance_80", "allowance_100",
    "bonus_expired", "pack_expired", "suspended", "resumed", "churned", "joined", "credited",
    "credit_cancelled", "purchase_failed", "pack_bought", "allowance_ends", "fee_short",
    "contract_ends",
)  # fmt: skip
(
    FEE_PAID, FEE_FAILED, LOW_BALANCE, ZERO_BALANCE, ALLOWANCE_80, ALLOWANCE_100,
    BONUS_EXPIRED, PACK_EXPIRED, SUSPENDED, RESUMED, CHURNED, JOINED, CREDITED,
    CREDIT_CANCELLED, PURCHASE_FAILED, PACK_BOUGHT, ALLOWANCE_ENDS, FEE_SHORT, CONTRACT_ENDS,
) = range(19)  # fmt: skip
"""The last three come from a date: two days before a period ends, `allowance_ends` carries the
percent of data that is left and `fee_short` the money that is missing for the fee; `contract_ends`
comes with the last fee but one and carries the days that are left."""

LIFECYCLES = ("reserved", "active", "suspended", "churned")
RESERVED, ACTIVE, SUSPENDED_LINE, CHURNED_LINE = 0, 1, 2, 3

# --- `Credit.kind` --------------------------------------------------------------------------------
REWARD, TRUST_CREDIT, GIFT, CANCEL = 0, 1, 2, 3

# --- `Claim.kind`, `Grant.kind` ------------------------------------------------------------------
CLAIMS = ("join", "team", "reward")
JOIN_TEAM, TEAM_STEP, ASK_REWARD = 0, 1, 2
GRANTS = ("team", "reward", "refused")
TEAM_DONE, GIVE_REWARD, REFUSE_REWARD = 0, 1, 2

# --- `Lesson.kind` --------------------------------------------------------------------------------
LESSONS = ("answer", "treated", "withheld")
LESSON_ANSWER, LESSON_TREATED, LESSON_WITHHELD = 0, 1, 2

# --- `Delivery.status` ----------------------------------------------------------------------------
STATUSES = ("delivered", "failed", "expired", "dropped")
DELIVERED, FAILED, EXPIRED, DROPPED = 0, 1, 2, 3

# --- `Call.reason`, `CallOutcome.result` ----------------------------------------------------------
CALL_REASONS = ("inbound", "fault", "bill_shock", "no_service", "confused", "offer")
INBOUND, FAULT, BILL_SHOCK, NO_SERVICE, CONFUSED, ABOUT_OFFER = 0, 1, 2, 3, 4, 5
"""Why somebody calls; the first two have causes that the twin does not hold."""
CALL_RESULTS = ("answered", "abandoned", "turned_away")
CALL_ANSWERED, CALL_ABANDONED, CALL_TURNED_AWAY = 0, 1, 2

# --- why a decision ended where it did, in the order of precedence --------------------------------
REASONS = (
    "intended", "not_eligible", "inactive", "no_consent", "black_list", "red_list",
    "universal_control", "quiet_hours", "repeat", "cool_down", "cap", "owned", "grey_list",
    "no_channel", "channel_cap", "no_gain", "priced_out", "timed_out", "lost_arbitration",
    "holdout", "switched_off",
)  # fmt: skip
(
    INTENDED, NOT_ELIGIBLE, INACTIVE, NO_CONSENT, BLACK_LIST, RED_LIST, UNIVERSAL_CONTROL,
    QUIET_HOURS, REPEAT, COOL_DOWN, CAP, OWNED, GREY_LIST, NO_CHANNEL, CHANNEL_CAP, NO_GAIN,
    PRICED_OUT, TIMED_OUT, LOST_ARBITRATION, HOLDOUT, SWITCHED_OFF,
) = range(21)  # fmt: skip

_SUB = Field("sub", "i4", "1", "global id of the line")
_TS = Field("ts_ms", "i8", "ms", "moment, since the start of the scenario")

ACTIVITY = Schema(
    "Activity",
    (
        _SUB,
        _TS,
        Field("kind", "u1", "code", "what kind of row, one of `ACTIVITY_KINDS`"),
        Field("code", "u1", "code", "rating group, procedure, reason or answer, by kind"),
        Field("ref", "i4", "1", "content, visit kind or use case, by kind"),
        Field("units", "i8", "s, pieces, bytes or minor", "amount, by kind and rating group"),
        Field("cell", "i4", "1", "cell that served it; -1 abroad or unknown"),
    ),
    edge="forward",
    doc="subscribers to billing and rtm: what the network, the apps and the people report",
)

RATED = Schema(
    "Rated",
    (
        Field("charged_minor", "i8", "minor", "taken from main and bonus money; recharges < 0"),
        Field("balance_after_minor", "i8", "minor", "main balance after the row"),
        Field("result", "u1", "code", "one of `RESULTS`"),
        Field("used_before", "u1", "%", "data allowance used before the row; 255 none"),
        Field("used_after", "u1", "%", "data allowance used after the row; 255 none"),
    ),
    edge="forward",
    doc="billing to rtm: one row for each row of `Activity`, in the same order",
)

ACCOUNT_EVENT = Schema(
    "AccountEvent",
    (
        _SUB,
        _TS,
        Field("kind", "u1", "code", "one of `ACCOUNT_KINDS`"),
        Field("value", "i8", "minor, % or days", "sum, share or time, by kind"),
        Field("balance_after_minor", "i8", "minor", "main balance after the event"),
    ),
    edge="forward+feedback",
    doc="billing to rtm (same tick) and to subscribers (next tick): what happened to the account",
)

INTENT = Schema(
    "Intent",
    (
        _SUB,
        _TS,
        Field("use_case", "i2", "1", "which use case"),
        Field("channel", "u1", "1", "which channel"),
        Field("priority_q", "i4", "1", "fixed-point priority of arbitration"),
        Field("trigger_ms", "i8", "ms", "moment at which the rule was satisfied"),
        Field("expires_ms", "i8", "ms", "moment after which it must not be sent"),
        Field("key", "u8", "hash", "key of the decision; breaks ties"),
    ),
    edge="gather",
    doc="rtm to channels: a message that has won arbitration and is not held out",
)

DELIVERY = Schema(
    "Delivery",
    (
        _SUB,
        _TS,
        Field("use_case", "i2", "1", "which use case"),
        Field("channel", "u1", "1", "which channel"),
        Field("status", "u1", "code", "one of `STATUSES`"),
        Field("trigger_ms", "i8", "ms", "moment at which the rule was satisfied"),
        Field("sent_ms", "i8", "ms", "moment at which the channel began to send"),
    ),
    edge="scatter",
    doc="channels to subscribers and rtm: what became of a message; `ts_ms` is when it arrived",
)

PLACED = Schema(
    "Placed",
    (
        _SUB,
        _TS,
        Field("channel", "u1", "1", "which channel: a touch point"),
        Field("expires_ms", "i8", "ms", "moment after which it is taken away"),
        Field("key", "u8", "hash", "key of the decision"),
    ),
    edge="scatter",
    doc="channels to subscribers: a message lies ready where the person may come by",
)

TOUCH = Schema(
    "Touch",
    (
        _SUB,
        _TS,
        Field("channel", "u1", "1", "which channel: a touch point"),
        Field("key", "u8", "hash", "key of the decision whose message lies ready there"),
    ),
    edge="gather",
    doc="subscribers to channels: the person comes to the touch point; `ts_ms` may be days ahead",
)

CREDIT = Schema(
    "Credit",
    (
        _SUB,
        _TS,
        Field("use_case", "i2", "1", "which use case, or -1 for a quest or points turned in"),
        Field("quest", "i2", "1", "which quest, or -1"),
        Field("kind", "u1", "code", "reward, trust credit, gift or cancel"),
        Field("amount_minor", "i8", "minor", "sum"),
    ),
    edge="feedback",
    doc="rtm to billing: money of a reward, or its cancellation",
)

DETECTION = Schema(
    "Detection",
    (
        _SUB,
        _TS,
        Field("fence", "i4", "1", "which geofence"),
        Field("satisfied_ms", "i8", "ms", "moment at which the dwell rule was satisfied"),
    ),
    edge="feedback",
    doc="rtm to subscribers: a believed visit, to be scored against the truth and forgotten",
)

TRIGGERED = Schema(
    "Triggered",
    (
        _SUB,
        _TS,
        Field("trigger", "i2", "1", "which rule was satisfied"),
        Field("need", "u1", "code", "category that its use case is for"),
    ),
    edge="feedback",
    doc="rtm to subscribers: hits of judged lines, to be scored against needs and forgotten",
)

DECISION = Schema(
    "Decision",
    (
        _SUB,
        _TS,
        Field("trigger", "i2", "1", "which trigger fired"),
        Field("use_case", "i2", "1", "the candidate that went furthest; -1 none"),
        Field("reason", "u1", "code", "one of `REASONS`: where it ended"),
        Field("channel", "u1", "1", "channel of the winner; 255 none"),
        Field("priority_q", "i4", "1", "fixed-point priority of the winner"),
        Field("n_candidates", "u2", "1", "use cases bound to the trigger"),
        Field("n_eligible", "u2", "1", "of these, eligible"),
        Field("n_allowed", "u2", "1", "of these, allowed by contact policy"),
        Field("latency_ms", "i4", "ms", "rule satisfied until decided"),
        Field("value", "i8", "by trigger", "what the trigger saw"),
        Field("chance_q", "u2", "1/65535", "probability of choosing this winner; 0 not known"),
    ),
    edge="record",
    doc="rtm to the recorder: one row for each decision",
)

TRUTH = Schema(
    "Truth",
    (
        _SUB,
        _TS,
        Field("use_case", "i2", "1", "which use case"),
        Field("channel", "u1", "1", "which channel"),
        Field("status", "u1", "code", "what became of the message"),
        Field("seen", "u1", "1", "1 if it was seen"),
        Field("accepts", "u1", "1", "1 if the answer would be yes"),
        Field("need_q", "u1", "1/255", "strength of the need at the moment of sending"),
        Field("fatigue_q", "u2", "1/1024", "fatigue at the moment of sending"),
        Field("t1_ms", "i8", "ms", "moment of the answer with the message; -1 never"),
        Field("t0_ms", "i8", "ms", "moment of the purchase without it; -1 never"),
        Field("y1_minor", "i8", "minor", "margin within the horizon with the message"),
        Field("y0_minor", "i8", "minor", "margin within the horizon without it"),
    ),
    edge="record",
    doc="subscribers to the recorder: both worlds of one contact; known to the twin alone",
)

RECORDED = Schema(
    "Recorded",
    (
        _SUB,
        _TS,
        Field("type", "u1", "code", "voice, sms, data, topup, location"),
        Field("direction", "u1", "code", "0 not told, 1 outgoing, 2 incoming"),
        Field("units", "i8", "s, pieces or bytes", "amount, by type"),
        Field("cell", "i4", "1", "simulated cell that stands for the recorded one; -1 unknown"),
        Field("amount_minor", "i8", "minor", "sum of a top-up"),
    ),
    edge="scatter",
    doc="replay to subscribers: what a recorded subscriber did, bound to a line",
)

REPLAYED = Schema(
    "Replayed",
    ACTIVITY.fields,
    edge="scatter",
    doc="tape to subscribers: rows of `REPLAYED_KINDS` that the same line had in a run of the twin",
)

CLAIM = Schema(
    "Claim",
    (
        _SUB,
        _TS,
        Field("quest", "i2", "1", "which quest"),
        Field("kind", "u1", "code", "one of `CLAIMS`"),
        Field("step", "u1", "1", "which step, for progress of a team"),
        Field("team", "i4", "1", "which team; -1 none"),
        Field("units", "i8", "minor or by step", "money asked for, or progress of the step"),
        Field("suspect", "u1", "flag", "1 where a check found what cannot be"),
        Field("key", "u8", "hash", "key of the claim; breaks ties"),
    ),
    edge="gather",
    doc="rtm to loyalty: what is shared by lines is asked for, a reward or progress of a team",
)

GRANT = Schema(
    "Grant",
    (
        _SUB,
        _TS,
        Field("quest", "i2", "1", "which quest"),
        Field("kind", "u1", "code", "one of `GRANTS`"),
        Field("step", "u1", "1", "which step, for progress of a team"),
        Field("units", "i8", "minor", "money granted"),
        Field("prize_minor", "i8", "minor", "cost of the prize drawn; -1 none was"),
        Field("suspect", "u1", "flag", "as in the claim"),
    ),
    edge="scatter",
    doc="loyalty to rtm: what became of claims, in canonical order, never past a budget or stock",
)

LESSON = Schema(
    "Lesson",
    (
        Field("sub", "i4", "1", "first line of the partition, for which it speaks as a whole"),
        _TS,
        Field("use_case", "i2", "1", "which use case"),
        Field("segment", "u1", "1", "segment of the lines"),
        Field("channel", "u1", "1", "which channel"),
        Field("kind", "u1", "code", "one of `LESSONS`"),
        Field("n", "i8", "messages or winners", "whose time for an answer, or horizon, is over"),
        Field("yes", "i8", "messages", "of the messages, accepted in time"),
        Field("margin_minor", "i8", "minor", "margin of the winners within the horizon"),
        Field("squares", "i8", "(minor/16)^2", "sum of squares of it, scaled"),
    ),
    edge="gather",
    doc="rtm to the learner: sums of what messages came to, as the engine saw it",
)

CALL = Schema(
    "Call",
    (
        _SUB,
        _TS,
        Field("reason", "u1", "code", "one of `CALL_REASONS`"),
        Field("key", "u8", "hash", "key of the cause; no two calls of a run share one"),
    ),
    edge="gather",
    doc="subscribers to the contact centre: a line calls because of something that happened",
)

CALL_OUTCOME = Schema(
    "CallOutcome",
    (
        _SUB,
        _TS,
        Field("reason", "u1", "code", "one of `CALL_REASONS`"),
        Field("result", "u1", "code", "one of `CALL_RESULTS`"),
        Field("centre", "u1", "1", "which centre"),
        Field("agent", "i2", "1", "group of agents that answered; -1 none"),
        Field("wait_ms", "i8", "ms", "time in the queue"),
        Field("attempt", "u1", "1", "tries of the caller before this one"),
        Field("called_back", "u1", "1", "1 if the caller took a call-back and did not wait"),
        Field("key", "u8", "hash", "key of the call: that of its cause"),
    ),
    edge="scatter",
    doc="the contact centre to subscribers and rtm: how a try of a call ended, and when",
)

SCHEMAS = (
    RECORDED, REPLAYED, CALL, CALL_OUTCOME, PLACED, TOUCH, CLAIM, GRANT, LESSON,
    ACTIVITY, RATED, ACCOUNT_EVENT, INTENT, DELIVERY, CREDIT, DETECTION, TRIGGERED, DECISION, TRUTH,
)  # fmt: skip


def schema_hash() -> str:
    """Return the hash of every message, recorded in manifests and checkpoints."""
    text = f"{VERSION}" + "".join(schema.hash() for schema in SCHEMAS)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
