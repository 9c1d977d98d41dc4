"""A made-up run for the tests of figures and reports: right in its identities, quick to make.

It is no test itself.  The numbers are invented, and only their relations matter.
"""

from pathlib import Path

import numpy as np

from actors import messages as m
from actors.metrics import ALL_METRICS, ARMS, BUCKETS
from actors.rtm.params import NEEDS
from scenarios.kpis import HOUR_MS, PER_HOUR, PER_TICK, Context, kpis
from scenarios.kpis_cases import CaseInfo
from sim.core.histogram import add
from sim.core.metrics import new_tally
from sim.record.folder import RunFolder
from sim.record.manifest import Manifest
from sim.record.recorder import Recorder

CASES = {
    "data_80": CaseInfo("billing", "Data pack at 80 % of the allowance"),
    "low_balance_credit": CaseInfo("billing", "Trust payment at low balance", service=True),
    "airport_roaming": CaseInfo("geo", "Roaming pack at the airport"),
    "mall_coupon": CaseInfo("geo", "Coupon of a shop in the mall", revenue_share=0.1),
    "slow_data_gift": CaseInfo("traffic", "Gift after slow data", service=True),
    "rival_page": CaseInfo("retention", "Better plan after a visit to a rival"),
}
TRIGGERS = tuple(f"trigger_{name}" for name in CASES)
CHANNELS = ("sms", "push", "app", "call")
FENCES = ("mall_mega", "mall_small", "airport_main", "shop_corner")
LABELS = {
    "activity_kind": m.ACTIVITY_KINDS, "rating_group": m.RATING_GROUPS, "need": NEEDS,
    "use_case": tuple(CASES), "trigger": TRIGGERS, "channel": CHANNELS, "fence": FENCES,
    "hour_of_day": tuple(str(h) for h in range(24)), "result": m.RESULTS,
    "account_kind": m.ACCOUNT_KINDS, "bucket": BUCKETS, "lifecycle": m.LIFECYCLES,
    "reason": m.REASONS, "arm": ARMS, "lot": ("lot 0",), "quest": ("city_tour",), "campaign": (),
    "centre": (), "call_reason": m.CALL_REASONS, "call_result": m.CALL_RESULTS,
}  # fmt: skip
TABLES = {
    "activity": (m.ACTIVITY, m.RATED), "account_events": (m.ACCOUNT_EVENT,),
    "decisions": (m.DECISION,), "deliveries": (m.DELIVERY,), "truth": (m.TRUTH,),
}  # fmt: skip
DECODE = {
    ("activity", "kind"): m.ACTIVITY_KINDS,
    ("activity", "result"): m.RESULTS,
    ("account_events", "kind"): m.ACCOUNT_KINDS,
    ("decisions", "trigger"): TRIGGERS,
    ("decisions", "use_case"): tuple(CASES),
    ("decisions", "reason"): m.REASONS,
    ("decisions", "channel"): CHANNELS,
    ("deliveries", "use_case"): tuple(CASES),
    ("deliveries", "channel"): CHANNELS,
    ("deliveries", "status"): m.STATUSES,
    ("truth", "use_case"): tuple(CASES),
    ("truth", "channel"): CHANNELS,
    ("truth", "status"): m.STATUSES,
}
REASON_SHARES = {
    "intended": 18, "not_eligible": 32, "inactive": 2, "no_consent": 6, "black_list": 1,
    "universal_control": 5, "quiet_hours": 8, "cool_down": 5, "cap": 12, "owned": 1,
    "no_channel": 2, "lost_arbitration": 5, "holdout": 2,
}  # fmt: skip
N_CELLS, N_HEXES = 120, 400
CENTRE = (51.13, 71.43)
DATA = [{
    "name": "places", "file": "places.csv", "licence": "CC BY 4.0", "sha256": "0" * 64,
    "attribution": "made up for a test, https://example.org/places",
}]  # fmt: skip


def recorder(folder: Path) -> Recorder:
    return Recorder(
        folder, metrics=ALL_METRICS, labels=LABELS, tables=TABLES, decode=DECODE, tick_s=900
    )


def tally(tick: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Make the counts of one tick; every identity of the funnel holds."""
    rng = np.random.default_rng([seed, tick])
    hour = tick / 4 % 24
    curve = 0.15 + max(0.0, np.sin((hour - 6) / 18 * np.pi)) ** 1.5
    t = new_tally(ALL_METRICS, LABELS)
    weights = np.array([60_000, 20_000, 1_500, 200, 40, 60, 15, 90])
    t["events"][:] = rng.poisson(weights * curve)
    t["asked_units"][:] = rng.poisson(5_000 * curve, len(m.RATING_GROUPS))
    for i, name in enumerate(CASES):
        _case(t, rng, i, round(180 * curve * (1 + i % 3)), lift=(0.03, 0.05, 0.02, -0.01)[i % 4])
        t["trigger_hits"][i] = t["decisions"][i].sum()
        t["outcomes"][i] = t["decisions"][i]
        t["eligible_decisions"][i] = t["decisions"][i].sum() - t["decisions"][i, m.NOT_ELIGIBLE]
        won = [m.INTENDED, m.LOST_ARBITRATION, m.HOLDOUT, m.SWITCHED_OFF]
        t["allowed_decisions"][i] = t["decisions"][i, won].sum()
        assert name
    t["rows_seen"][0] = t["events"].sum()
    t["rows_lost"][0] = t["events"].sum() // 1000
    _money(t, rng, curve)
    _channels(t, rng)
    _places(t, rng, curve)
    t["left"][0] = rng.poisson(0.4)
    t["fell_silent"][0] = rng.poisson(0.2)
    t["lifecycle"][3] = t["left"][0]
    return t


def _case(t, rng, i: int, hits: int, *, lift: float) -> None:
    shares = np.zeros(len(m.REASONS))
    for reason, share in REASON_SHARES.items():
        shares[m.REASONS.index(reason)] = share
    ended = rng.multinomial(hits, shares / shares.sum())
    t["decisions"][i] += ended
    treated, ghosts = int(ended[m.INTENDED]), int(ended[m.HOLDOUT])
    t["intended"][i] = treated
    t["ghosts"][i] = ghosts
    t["sent_by_case"][i] = sent = rng.binomial(treated, 0.98)
    t["delivered_by_case"][i] = got = rng.binomial(sent, 0.97)
    t["seen"][i] = seen = rng.binomial(got, 0.5)
    t["clicked"][i] = rng.binomial(seen, 0.2)
    t["accepted"][i] = done = rng.binomial(seen, 0.12)
    t["opted_out"][i] = rng.binomial(seen, 0.001)
    t["purchases"][i] = done
    t["purchase_minor"][i] = done * 9_900
    t["contact_cost_minor"][i] = sent * 60
    for arm, n, p in ((0, treated, 0.04 + lift), (1, ghosts, 0.04)):
        y = rng.binomial(1, p, n) * 7_900 - (60 if arm == 0 else 0)
        t["exp_opened"][i, arm] = t["exp_n"][i, arm] = n
        t["exp_y_minor"][i, arm] = y.sum()
        t["exp_y2"][i, arm] = ((y // 16) ** 2).sum()
        t["exp_bought"][i, arm] = (y > 0).sum()
    t["truth_n"][i] = treated
    t["truth_bought1"][i] = round(treated * (0.04 + lift))
    t["truth_bought0"][i] = round(treated * 0.04)
    t["truth_y1_minor"][i] = t["truth_bought1"][i] * 7_900 - 60 * treated
    t["truth_y0_minor"][i] = t["truth_bought0"][i] * 7_900
    t["wow_q"][i] = rng.integers(-20, 60)
    for name, median in (("decision", 170), ("capture", 120), ("profile", 6), ("decide", 35)):
        add(t[f"latency_{name}_ms"], rng.lognormal(np.log(median), 0.7, hits).astype(np.int64))
    add(t["latency_channel_ms"], rng.lognormal(np.log(900), 1.0, sent).astype(np.int64))
    add(t["latency_event_to_send_ms"], rng.lognormal(np.log(1_200), 0.9, sent).astype(np.int64))


def _money(t, rng, curve: float) -> None:
    t["charged_minor"][:8] = rng.poisson(40_000 * curve, 8)
    t["rated"][:5] = rng.poisson(np.array([9_000, 40_000, 9_000, 300, 120]) * curve)
    t["account_events"][:5] = rng.poisson(np.array([40, 3, 60, 12, 50]) * curve)
    t["recharges"][0] = n = rng.poisson(60 * curve)
    t["main_in_recharge_minor"][0] = n * 25_000
    t["main_out_usage_minor"][0] = t["charged_minor"].sum()
    t["main_out_fee_minor"][0] = t["account_events"][0] * 45_000
    t["main_out_purchase_minor"][0] = t["purchase_minor"].sum() + 20 * 9_900
    t["organic_minor"][0], t["purchases_organic"][0] = 20 * 9_900, 20
    t["bonus_in_minor"][0] = 5_000


def _channels(t, rng) -> None:
    sent = int(t["sent_by_case"].sum())
    split = rng.multinomial(sent, [0.55, 0.25, 0.15, 0.05])
    t["intents"][:] = split
    t["channel_offered"][:] = split + 2
    t["channel_sent"][:] = split
    t["channel_expired"][:] = 1
    t["channel_delivered"][:] = split * 97 // 100
    t["channel_failed"][:] = split - split * 97 // 100
    t["channel_cost_minor"][:] = split * np.array([60, 1, 1, 900])
    t["channel_busy_us"][:] = np.minimum(split * np.array([400, 40, 40, 20_000]), 900_000) * 1000
    for i, median in enumerate((900, 60, 40, 40_000)):
        add(t["channel_queue_ms"][i], rng.lognormal(np.log(median), 1.0, split[i]).astype(np.int64))


def _places(t, rng, curve: float) -> None:
    enters = rng.poisson(np.array([220, 60, 40, 12]) * curve)
    t["fence_enters"][:] = enters
    t["fence_exits"][:] = enters
    t["fence_dwells"][:] = dwells = rng.binomial(enters, 0.6)
    t["fence_true_detections"][:] = true = rng.binomial(dwells, [0.7, 0.4, 0.8, 0.2])
    t["fence_detections"][:] = true + rng.poisson(np.array([60, 40, 4, 20]) * curve)
    t["fence_delay_s"][:] = true * 210
    t["fence_believed_enters"][:] = t["fence_detections"]
    util = np.minimum(rng.lognormal(np.log(260 * curve + 20), 0.6, N_CELLS), 1_000).astype(np.int64)
    add(t["prb_util_q"], util)
    t["cells_congested"][0] = (util > 800).sum()
    t["cell_bytes"][0] = round(9e11 * curve)
    t["cell_voice_s"][0] = round(4e5 * curve)
    t["cell_attempts"][0] = 60_000
    t["cell_blocked"][0] = 400
    t["quests_joined"][0] = rng.poisson(4 * curve)
    t["quest_steps"][0] = rng.poisson(5 * curve)
    t["quests_completed"][0] = rng.binomial(t["quests_joined"][0], 0.2)


def samples(tick: int) -> dict[str, dict[str, np.ndarray]]:
    """Make the rows of a few sampled lines, and the hourly rows of cells."""
    rng = np.random.default_rng([7, tick])
    n = 20
    ts = tick * 900_000 + np.sort(rng.integers(0, 900_000, n))
    sub = rng.integers(0, 50, n).astype(np.int32)
    case = rng.integers(0, len(CASES), n).astype(np.int16)
    channel = rng.integers(0, len(CHANNELS), n).astype(np.uint8)
    given = {"sub": sub, "ts_ms": ts, "use_case": case, "channel": channel, "trigger": case,
             "trigger_ms": ts - 300, "sent_ms": ts}  # fmt: skip

    def rows(*schemas) -> dict[str, np.ndarray]:
        return {
            f.name: given.get(f.name, np.zeros(n)).astype(np.dtype(f.dtype))
            for schema in schemas for f in schema.fields
        }  # fmt: skip

    out = {name: rows(*schemas) for name, schemas in TABLES.items() if name != "account_events"}
    if tick % 4 == 3:
        cell = np.arange(N_CELLS, dtype=np.int32)
        out["cells"] = {
            "hour": np.full(N_CELLS, tick // 4, np.int32), "cell": cell,
            "bytes": rng.integers(1e8, 1e11, N_CELLS), "voice_s": rng.integers(0, 9_000, N_CELLS),
            "attempts": rng.integers(100, 900, N_CELLS), "blocked": rng.integers(0, 9, N_CELLS),
            "util_q": rng.integers(20, 1_000, N_CELLS).astype(np.int32),
        }  # fmt: skip
    return out


def geography(made: Recorder, folder: RunFolder) -> None:
    rng = np.random.default_rng(3)
    lat, lon = CENTRE
    people = rng.lognormal(6, 1, N_HEXES).astype(int)
    made.write_table("geo_cells", {
        "cell": np.arange(N_CELLS), "lat": lat + rng.normal(0, 0.04, N_CELLS),
        "lon": lon + rng.normal(0, 0.07, N_CELLS), "site": np.arange(N_CELLS) // 3,
        "azimuth": rng.integers(0, 360, N_CELLS), "rat": rng.integers(2, 6, N_CELLS),
        "capacity_kbps": rng.integers(20_000, 200_000, N_CELLS),
        "fence": np.where(np.arange(N_CELLS) < 4, np.arange(N_CELLS), -1),
    })  # fmt: skip
    made.write_table("geo_hexes", {
        "hex_id": np.arange(N_HEXES).astype(np.uint64), "lat": lat + rng.normal(0, 0.05, N_HEXES),
        "lon": lon + rng.normal(0, 0.09, N_HEXES), "people": people,
        "subscribers": people // 7,
    })  # fmt: skip
    features = []
    for i, name in enumerate(FENCES):
        x, y = lon + 0.05 * (i - 1.5), lat + 0.02 * (i % 2)
        ring = [[x, y], [x + 0.01, y], [x + 0.01, y + 0.006], [x, y + 0.006], [x, y]]
        features.append({
            "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"name": name, "kind": name.split("_")[0], "synthetic": i == 3},
        })  # fmt: skip
    folder.write_json("geo_fences.geojson", {"type": "FeatureCollection", "features": features})


def fake_run(parent: Path, *, ticks: int = 96, name: str = "fake_day") -> Path:
    """Write a whole run folder and return it; `ticks=0` gives a run in which nothing happened."""
    folder = RunFolder.create(parent, name)
    made = recorder(folder.path)
    geography(made, folder)
    digests, audit = {"subscribers": 11, "billing": 12}, [("main money", 5, 5, True)]
    for tick in range(ticks):
        made.on_tick(tick, tick * 900_000, tally(tick), samples(tick), digests, audit)
    made.finish()
    context = Context(
        sim_ms=ticks * 900_000, tick_s=900, subscribers=50_000, cells=N_CELLS, vat=0.2,
        horizon_days=0.25, universal_control_percent=5.0, use_cases=CASES,
    )  # fmt: skip
    document = kpis(
        made.totals, LABELS, context=context,
        stocks={"active": 49_000, "control": 2_500, "satisfaction_sum_q": 49_000 * 42_000},
        per_tick=made.series(PER_TICK), per_hour=made.series(PER_HOUR, every_ms=HOUR_MS),
    )  # fmt: skip
    folder.write_json("kpis.json", document)
    manifest = Manifest(
        scenario=name, scenario_hash="ab" * 32, seed=20260304, runtime="embedded", partitions=1,
        hosts=2, subscribers=50_000, cells=N_CELLS, tick_s=900, data=DATA,
        extra={"title": "A made-up day", "question": "Does the report tell it?",
               "start": "2026-03-04T00:00"},
    )  # fmt: skip
    manifest.add_phase("run", 21.5)
    folder.write_json("manifest.json", manifest.build(
        "complete", sim_seconds=ticks * 900, events_total=document["funnel"]["events"],
        cpu_seconds=40.0, peak_bytes=3 << 30, state_bytes_per_subscriber=121.0,
        state_digest=1234567, audit={"checks": ticks, "failures": 0},
    ))  # fmt: skip
    return folder.complete()
