"""The report as Markdown or as one JSON document, for terminals, wikis and scripts.

It owns both forms.  It must not know HTML or figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenarios.report import data
from scenarios.report.html import cards, facts
from scenarios.report.sections import Table, sections
from scenarios.report.words import GLOSSARY, dig, sentences
from sim.record.files import plain
from sim.record.store import open_run


def document(run_path: str | Path) -> dict[str, Any]:
    """Return the report as one JSON document: words, headline figures, KPIs, manifest, audit."""
    with open_run(run_path) as run:
        found = {
            "run": run.name,
            "complete": run.complete,
            "sentences": sentences(run.manifest, run.kpis),
            "red_flags": run.kpis.get("red_flags", []),
            "cards": cards(run.kpis),
            "kpis": run.kpis,
            "busy_hour_cells": data.fullest(data.cells(run)),
            "audit": data.audit(run),
            "manifest": run.manifest,
        }
    return plain(found)


def markdown(run_path: str | Path) -> str:
    """Return the report as Markdown: sentences and tables, no figures."""
    with open_run(run_path) as run:
        title = dig(run.manifest, "title") or dig(run.manifest, "scenario") or run.name
        lines = [f"# {title}", ""]
        if dig(run.manifest, "question"):
            lines += [f"*{run.manifest['question']}*", ""]
        lines += [f"- {sentence}" for sentence in sentences(run.manifest, run.kpis)]
        if run.kpis.get("red_flags"):
            lines += ["", "## What speaks against this run", ""]
            lines += [f"- {flag}" for flag in run.kpis["red_flags"]]
        lines += ["", "## Headline figures", "", "| what | value | behind it |", "|---|---:|---|"]
        lines += [f"| {c['what']} | {c['value']} | {c['more']} |" for c in cards(run.kpis)]
        for section in sections(run):
            tables = [(caption, p) for caption, p in section.parts if isinstance(p, Table)]
            if not tables and not section.says:
                continue
            lines += ["", f"## {section.question}", "", *section.says]
            for caption, table in tables:
                lines += ["", f"### {caption}", "", *_table(table)]
        lines += ["", "## The run", "", "| what | value |", "|---|---|"]
        lines += [f"| {name} | {text} |" for name, text in facts(run.manifest)]
        lines += ["", "## Data", "", "| name | licence | attribution |", "|---|---|---|"]
        lines += [
            f"| {d.get('name', '')} | {d.get('licence', '')} | {d.get('attribution', '')} |"
            for d in run.manifest.get("data") or []
        ]
        lines += ["", "## Words", ""]
        lines += [f"- **{term}**: {text}" for term, text in GLOSSARY.items()]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    if not table.rows:
        return ["Nothing to show in this run."]
    marks = ["---" if i < table.text_columns else "---:" for i in range(len(table.head))]
    rows = [table.head, tuple(marks), *table.rows]
    clean = [[cell.replace("|", "/").replace("\n", ": ") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in clean]
    return [*lines, *([f"\n{table.note}"] if table.note else [])]
