"""The limits of a server, by name.

It owns every number that a client can run into.  It must not know how a limit is held.
"""

BODY_BYTES_MAX = 64 * 1024
HEAD_BYTES_MAX = 16 * 1024
DEPTH_MAX = 8
ELEMENTS_MAX = 256
KEY_BYTES_MAX = 200
"""Length of an idempotency key."""
HEAD_S = 10.0
"""Time for the head of a request, from its first byte, and for a connection to begin one."""
BODY_S = 10.0
IDLE_S = 5
"""Time for which a connection is kept after an answer."""
CONNECTIONS_MAX = 1024
IN_FLIGHT_MAX = 256
"""Requests inside at one time."""
RATE = 4_000.0
"""Requests a second that are let in, unless told otherwise."""
BURST_S = 0.1
"""Seconds of the rate that may come at once."""
LAG_MAX_S = 0.05
"""The loop is late by more: everything new is refused until it has caught up."""
LAG_EVERY_S = 0.01
RETRY_S = 1
