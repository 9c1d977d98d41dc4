"""What Ray reads from the environment when it is imported: set before, never after.

It owns the names and the defaults that protect: loopback, a token, no reports to anybody.  It
must not import Ray.
"""

from __future__ import annotations

import os
import secrets

ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
"""No usage report, no upload of the working folder, devices left alone, nobody without a token, and
no word of Ray's on standard output, where `--json` has its one document."""

LOOPBACK = ("127.", "localhost:", "[::1]:")
"""How addresses of this machine alone begin."""


def prepare(address: str) -> None:
    """Set what Ray reads, wherever the caller's environment does not say otherwise.

    Parameters
    ----------
    address : of a running cluster, whose token the caller must have; empty for a cluster of our
        own, which listens on loopback alone and gets a token that no file ever holds
    """
    for name, value in ALWAYS.items():
        os.environ.setdefault(name, value)
    if not address or address.startswith(LOOPBACK):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if address:
        return
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(24))
