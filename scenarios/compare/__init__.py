"""Two scenarios on common random numbers: what differs, how surely, and for whom."""

from scenarios.compare.study import Options, compare

__all__ = ["Options", "compare"]
