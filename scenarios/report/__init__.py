"""The report of a run, and the figures that the report and the dashboard share."""

from scenarios.report.export import document, markdown
from scenarios.report.html import report

__all__ = ["document", "markdown", "report"]
