"""What each use case is worth beside the others, and which to launch in which order."""

from scenarios.prioritize.study import Options, prioritize

__all__ = ["Options", "prioritize"]
