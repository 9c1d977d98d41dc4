"""Which role hands which message to which, and when it arrives.

It owns the edges of the twin.  It must not know how a role is built.
"""

from __future__ import annotations

from sim.core.topology import Edge, Topology

TOPOLOGY = Topology(
    roles=("subscribers", "billing", "rtm"),
    global_roles=("cells", "channels", "contact_centre", "loyalty", "learner"),
    edges=(
        Edge("subscribers", "billing", "Activity", "forward"),
        Edge("subscribers", "rtm", "Activity", "forward"),
        Edge("billing", "rtm", "Rated", "forward"),
        Edge("billing", "rtm", "AccountEvent", "forward"),
        Edge("billing", "subscribers", "AccountEvent", "feedback"),
        Edge("rtm", "billing", "Credit", "feedback"),
        Edge("rtm", "subscribers", "Detection", "feedback"),
        Edge("rtm", "subscribers", "Triggered", "feedback"),
        Edge("rtm", "channels", "Intent", "gather"),
        Edge("rtm", "loyalty", "Claim", "gather"),
        Edge("loyalty", "rtm", "Grant", "scatter"),
        Edge("rtm", "learner", "Lesson", "gather"),
        Edge("learner", "rtm", "Beliefs", "broadcast"),
        Edge("subscribers", "contact_centre", "Call", "gather"),
        Edge("subscribers", "channels", "Touch", "gather"),
        Edge("channels", "subscribers", "Placed", "scatter"),
        Edge("channels", "subscribers", "Delivery", "scatter"),
        Edge("channels", "rtm", "Delivery", "scatter"),
        Edge("contact_centre", "subscribers", "CallOutcome", "scatter"),
        Edge("contact_centre", "rtm", "CallOutcome", "scatter"),
        Edge("control", "subscribers", "Recorded", "scatter"),
        Edge("control", "subscribers", "Replayed", "scatter"),
        Edge("subscribers", "cells", "CellLoad", "reduce"),
        Edge("cells", "subscribers", "CellQuality", "broadcast"),
        Edge("rtm", "recorder", "Decision", "record"),
        Edge("subscribers", "recorder", "Truth", "record"),
    ),
)
