"""Laws of service and of gaps between arrivals: moments, transform, and values for draws.

It owns the seven laws that queue models are stated in.  It must not draw by itself: values are
functions of uniform numbers that the caller has drawn by key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS: dict[str, tuple[str, ...]] = {
    "exp": ("mean",),
    "det": ("value",),
    "erlang": ("k", "mean"),
    "h2": ("p", "mean1", "mean2"),
    "lognormal": ("mean", "cv2"),
    "uniform": ("low", "high"),
    "twopoint": ("x1", "p", "x2"),
}
"""Kind of law -> its parameters."""

ERLANG_MAX = 4
"""Phases of an Erlang law that one draw of four words can give."""


@dataclass(frozen=True)
class Law:
    """A law of a positive time.

    Attributes
    ----------
    kind : one of `KINDS`
    values : its parameters, in the order of `KINDS`
    """

    kind: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Law:
        """Read a law from `{"type": ..., parameter: value}`; raise ValueError where it is none."""
        kind = told.get("type", "")
        if kind not in KINDS:
            raise ValueError(f"no law {kind!r}; there are {', '.join(KINDS)}")
        missing = [name for name in KINDS[kind] if name not in told]
        if missing:
            raise ValueError(f"law {kind}: {', '.join(missing)} missing")
        return cls(kind, tuple(float(told[name]) for name in KINDS[kind]))

    @classmethod
    def exp(cls, mean: float) -> Law:
        """Return the exponential law."""
        return cls("exp", (mean,))

    def moment(self, n: int) -> float:
        """Return E[X**n] for n of 1, 2 or 3."""
        v = self.values
        match self.kind:
            case "exp":
                return math.factorial(n) * v[0] ** n
            case "det":
                return v[0] ** n
            case "erlang":
                return math.prod(v[0] + i for i in range(n)) * (v[1] / v[0]) ** n
            case "h2":
                return math.factorial(n) * (v[0] * v[1] ** n + (1 - v[0]) * v[2] ** n)
            case "lognormal":
                return v[0] ** n * (1 + v[1]) ** (n * (n - 1) / 2)
            case "uniform":
                return (v[1] ** (n + 1) - v[0] ** (n + 1)) / ((n + 1) * (v[1] - v[0]))
            case _:
                return v[1] * v[0] ** n + (1 - v[1]) * v[2] ** n

    @property
    def mean(self) -> float:
        """Return the mean."""
        return self.moment(1)

    def transform(self, s: float) -> float:
        """Return E[exp(-sX)]; raise ValueError for the log-normal law, which has no closed form."""
        v = self.values
        match self.kind:
            case "exp":
                return 1 / (1 + s * v[0])
            case "det":
                return math.exp(-s * v[0])
            case "erlang":
                return (1 + s * v[1] / v[0]) ** -v[0]
            case "h2":
                return v[0] / (1 + s * v[1]) + (1 - v[0]) / (1 + s * v[2])
            case "uniform":
                return (math.exp(-s * v[0]) - math.exp(-s * v[1])) / (s * (v[1] - v[0]))
            case "twopoint":
                return v[1] * math.exp(-s * v[0]) + (1 - v[1]) * math.exp(-s * v[2])
            case _:
                raise ValueError("the transform of a log-normal law has no closed form")

    def sample(self, u: np.ndarray) -> np.ndarray:
        """Return one value for each row of uniform numbers.

        Parameters
        ----------
        u : (n, 4) float64 in (0, 1), independent; used from the first column on
        """
        v = self.values
        first, second = u[:, 0], u[:, 1]
        match self.kind:
            case "exp":
                return -v[0] * np.log(first)
            case "det":
                return np.full(len(u), v[0])
            case "erlang":
                phases = int(v[0])
                if phases != v[0] or not 1 <= phases <= ERLANG_MAX:
                    raise ValueError(f"Erlang laws of 1 to {ERLANG_MAX} phases can be drawn")
                return -v[1] / phases * np.log(u[:, :phases]).sum(axis=1)
            case "h2":
                return -np.where(first < v[0], v[1], v[2]) * np.log(second)
            case "lognormal":
                sigma2 = math.log1p(v[1])
                normal = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
                return v[0] * np.exp(math.sqrt(sigma2) * normal - sigma2 / 2)
            case "uniform":
                return v[0] + (v[1] - v[0]) * first
            case _:
                return np.where(first < v[1], v[0], v[2])
