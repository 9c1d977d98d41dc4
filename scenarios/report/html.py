"""The report as one HTML file: no server, no request to any host.

It owns the page: cards, sections, trust and sources.  The chart library is written into the file
once.  It must not know how figures are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from scenarios.report import data
from scenarios.report.figures import config
from scenarios.report.sections import Table, sections
from scenarios.report.words import (
    GLOSSARY,
    count,
    dig,
    milliseconds,
    money,
    percent,
    sentences,
    short,
    size,
)
from sim.record.files import write_text
from sim.record.store import Run, open_run

TEMPLATES = Path(__file__).parent / "templates"
REPORT_FILE = "report.html"


def report(run_path: str | Path, *, out: str | Path | None = None) -> Path:
    """Write the report of a run as one self-contained HTML file and return its path.

    Parameters
    ----------
    run_path : run folder, complete or not
    out : file to write; default `report.html` in the run folder
    """
    with open_run(run_path) as run:
        path = run.path / REPORT_FILE if out is None else Path(out)
        write_text(path, render(run))
    return path


def render(run: Run) -> str:
    """Return the report of an opened run as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("report.html.j2")
    charts = iter(range(1_000))
    body = [
        {
            "name": section.name,
            "question": section.question,
            "readers": section.readers,
            "says": section.says,
            "parts": [
                {"caption": caption, "table": part, "chart": None} if isinstance(part, Table)
                else {"caption": caption, "table": None, "chart": _chart(part, next(charts))}
                for caption, part in section.parts
            ],
        }
        for section in sections(run)
    ]  # fmt: skip
    return page.render(
        plotly=get_plotlyjs(),
        run=run,
        title=dig(run.manifest, "title") or dig(run.manifest, "scenario") or run.name,
        question=dig(run.manifest, "question"),
        chips=_chips(run),
        unfinished=_unfinished(run),
        sentences=sentences(run.manifest, run.kpis),
        flags=run.kpis.get("red_flags", []),
        cards=cards(run.kpis),
        sections=body,
        audit=data.audit(run),
        facts=facts(run.manifest),
        sources=run.manifest.get("data") or [],
        versions=run.manifest.get("versions") or {},
        sampled=data.sampled(run),
        glossary=GLOSSARY,
        count=count,
    )


def _chart(figure: go.Figure, n: int) -> str:
    return plotly.io.to_html(
        figure, full_html=False, include_plotlyjs=False, config=config(figure),
        div_id=f"chart-{n}", default_width="100%",
    )  # fmt: skip


def _chips(run: Run) -> list[str]:
    manifest = run.manifest
    out = [f"scenario {manifest['scenario']}"] if manifest.get("scenario") else []
    if manifest.get("seed") is not None:
        out.append(f"seed {manifest['seed']}")
    if manifest.get("scenario_hash"):
        out.append(f"hash {str(manifest['scenario_hash'])[:8]}")
    if manifest.get("start"):
        out.append(f"from {str(manifest['start']).replace('T', ' ')}")
    return [*out, "synthetic data"]


def _unfinished(run: Run) -> str:
    if run.complete or dig(run.manifest, "status") == "complete":
        return ""
    state = dig(run.manifest, "status") or dig(run.status, "state") or "not complete"
    share = percent(dig(run.status, "share"), 0)
    return f"This run is not complete ({state}, {share} of its time): figures are partial."


def cards(kpis: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the headline figures: value, what it is, and what stands behind it."""
    currency = dig(kpis, "charging", "currency") or ""
    funnel = dig(kpis, "funnel") or {}
    joint = dig(kpis, "experiments", "local_margin_minor") or {}
    decision = dig(kpis, "latency_ms", "decision") or {}
    network = dig(kpis, "network") or {}
    effect = "no estimate yet"
    if joint.get("value") is not None:
        effect = f"95 %: {money(joint['low'], currency)} to {money(joint['high'], currency)}, "
        effect += f"n {short(joint['n'])} winners"
    return [
        {"value": short(funnel.get("events")), "what": "network events",
         "more": f"up to {short(network.get('peak_events_per_second'))} a second"},
        {"value": short(funnel.get("trigger_hits")), "what": "decisions",
         "more": f"{short(funnel.get('intended'))} became a message"},
        {"value": short(funnel.get("accepted")), "what": "offers accepted",
         "more": f"{short(funnel.get('incremental'))} buyers added by contacts"},
        {"value": money(joint.get("value"), currency, sign=True),
         "what": "margin added by contacts", "more": effect},
        {"value": money(dig(kpis, "charging", "service_revenue_minor"), currency),
         "what": "service revenue without VAT",
         "more": f"{money(dig(kpis, 'charging', 'arpu_minor_per_30_days'), currency)} "
         "a line and 30 days"},
        {"value": milliseconds(decision.get("p99")), "what": "p99 of a decision",
         "more": f"{percent(decision.get('share_under_1s'), 2)} within 1 s"},
        {"value": percent(network.get("blocked_share"), 2), "what": "uses refused or starved",
         "more": f"n {short(network.get('blocked_share_n'))} uses"},
        {"value": percent(dig(kpis, "churn", "left_per_month"), 2), "what": "lines lost a month",
         "more": f"95 %: {percent(dig(kpis, 'churn', 'left_per_month_low'), 2)} to "
         f"{percent(dig(kpis, 'churn', 'left_per_month_high'), 2)}"},
    ]  # fmt: skip


def facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the run was made, as pairs of name and text."""
    audit = dig(manifest, "audit") or {}
    git = dig(manifest, "git")
    commit = None if not git else git["commit"][:12] + (" with changes" if git["dirty"] else "")
    phases = dig(manifest, "phases") or {}
    pairs = [
        ("state digest", dig(manifest, "state_digest")),
        ("audit", f"{count(audit.get('checks'))} checks, {count(audit.get('failures'))} failures"),
        ("runtime", f"{dig(manifest, 'runtime')}, {dig(manifest, 'partitions')} partitions, "
         f"{dig(manifest, 'hosts')} hosts, tick {dig(manifest, 'tick_s')} s"),
        ("wall time", ", ".join(f"{name} {s:.1f} s" for name, s in phases.items())),
        ("speed", f"{short(dig(manifest, 'events_per_second'))} events a second, "
         f"{short(dig(manifest, 'sim_speed'))} times real time"),
        ("CPU time of the run", None if dig(manifest, "cpu_seconds") is None
         else f"{manifest['cpu_seconds']:.1f} s"),
        ("peak memory, all processes", size(dig(manifest, "peak_rss_bytes"))),
        ("state per subscriber", None if dig(manifest, "state_bytes_per_subscriber") is None
         else f"{manifest['state_bytes_per_subscriber']:.0f} bytes"),
        ("code", commit),
    ]  # fmt: skip
    return [(name, str(text)) for name, text in pairs if text is not None]
