"""Write the committed schema anew: `python -m scenarios.schema`."""

from __future__ import annotations

import sys

from scenarios.schema import SCHEMA_FILE, schema_text

SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
sys.stdout.write(f"wrote {SCHEMA_FILE}\n")
