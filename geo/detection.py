"""Score P(inside a fence | served by a cell), the table behind geofence triggers.

This module owns Bayes' rule over the serving table with a stated crowd prior: how many people are
at each spot at a daytime moment. The prior follows the same mall and airport draws that people
move by, so a twin that moves people that way finds the stated probabilities. It must not know
events, dwell times or triggers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geo.fences import FenceTable
from geo.geography import FENCE_AIRPORT, FENCE_MALL, FENCE_SHOP
from geo.params import GeoParams
from geo.people import Hexes
from geo.serving import U16, slot_chances

AT_HOME_SHARE = 0.5
"""Share of people who are in their home hex at a daytime moment; the rest is at jobs (A)."""


def presence(
    hexes: Hexes,
    table: FenceTable,
    hex_mall: NDArray[np.int32],
    hex_airport: NDArray[np.int32],
    params: GeoParams,
) -> NDArray[np.float64]:
    """Return (n_hex + n_fence,) people at each spot at a daytime moment, summing to residents.

    People count by the operator's share of their region, since only its lines are heard. Malls get
    `mall_presence` of the residents that may choose them, airports `airport_presence` of those for
    whom they are nearest, and shops `shop_presence` of everybody in equal parts.
    """
    people = hexes.people * hexes.share
    total = people.sum()
    inside = np.zeros(len(table))
    chosen = hex_mall >= 0
    by_choice = np.repeat(people / hex_mall.shape[1], hex_mall.shape[1])[chosen.ravel()]
    inside += params.mall_presence * np.bincount(
        hex_mall[chosen], weights=by_choice, minlength=len(table)
    )
    flies = hex_airport >= 0
    inside += params.airport_presence * np.bincount(
        hex_airport[flies], weights=people[flies], minlength=len(table)
    )
    shops = table.kind == FENCE_SHOP
    if shops.any():
        inside[shops] += params.shop_presence * total / shops.sum()
    jobs = hexes.jobs * hexes.share
    job_share = jobs / jobs.sum() if jobs.sum() > 0 else people / total
    outside = AT_HOME_SHARE * people + (1.0 - AT_HOME_SHARE) * total * job_share
    outside *= (total - inside.sum()) / outside.sum()
    return np.concatenate([outside, inside])


def cell_fences(
    spot_cells: NDArray[np.int32],
    spot_cum: NDArray[np.uint16],
    spot_people: NDArray[np.float64],
    *,
    n_hex: int,
    n_cell: int,
    p_min: float,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]:
    """Return the CSR table of fences by cell with P(inside | served) x 65535, p descending.

    Parameters
    ----------
    spot_cells, spot_cum : (n_spot, 4) serving table
    spot_people : (n_spot,) crowd prior
    p_min : entries below are left out
    """
    joint = slot_chances(spot_cum) * spot_people[:, None]
    total = np.bincount(spot_cells.ravel(), weights=joint.ravel(), minlength=n_cell)
    n_fence = len(spot_cells) - n_hex
    cell = spot_cells[n_hex:].ravel().astype(np.int64)
    fence = np.repeat(np.arange(n_fence), spot_cells.shape[1])
    pair, at = np.unique(cell * max(n_fence, 1) + fence, return_inverse=True)
    inside = np.bincount(at, weights=joint[n_hex:].ravel(), minlength=len(pair))
    cell, fence = pair // max(n_fence, 1), pair % max(n_fence, 1)
    p = inside / np.where(total[cell] > 0, total[cell], 1.0)
    keep = (p >= p_min) & (inside > 0)
    cell, fence, p = cell[keep], fence[keep], p[keep]
    order = np.lexsort((fence, -p, cell))
    start = np.searchsorted(cell[order], np.arange(n_cell + 1)).astype(np.int32)
    scaled = np.minimum(np.rint(p[order] * U16), U16).astype(np.uint16)
    return start, fence[order].astype(np.int32), scaled


def undetectable(cell_fence_ix: NDArray[np.int32], table: FenceTable) -> list[str]:
    """Return a sentence per kind about fences that no cell points to."""
    seen = np.zeros(len(table), dtype=np.bool_)
    seen[cell_fence_ix] = True
    sentences = []
    for kind, word in ((FENCE_MALL, "malls"), (FENCE_AIRPORT, "airports"), (FENCE_SHOP, "shops")):
        of_kind = table.kind == kind
        missed = int((of_kind & ~seen).sum())
        if missed:
            sentences.append(
                f"{missed} of {int(of_kind.sum())} {word} are too small beside their cells to be "
                "detected from the network (no cell reaches fence_p_min)"
            )
    return sentences
