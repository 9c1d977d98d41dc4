"""Build a geography from a folder of files, a seed and the number of subscribers.

This module owns the order of the build and its cache. Everything random is keyed by the seed and a
purpose, so equal inputs give identical arrays, and the cache key covers the parameters, every file
read and the sources of this package. It must not know actors, ticks or what the arrays are used
for.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo import (
    bands,
    coarse,
    datasets,
    detection,
    fences,
    hexgrid,
    mobility,
    people,
    serving,
    sites,
)
from geo.fence_file import Fence, polygon_dict
from geo.geography import (
    FENCE_AIRPORT,
    Geography,
    load_geography,
    save_geography,
)
from geo.io import Folder, find_folder, read_folder
from geo.params import GeoParams
from sim.core.errors import ScenarioError

CACHE_VERSION = 1
SETTLED_MAX = 500_000
"""Hexes that can be settled in seconds, to look at what will be invented among them."""
LAYOUT_SEED = 0
"""Seed of what a geography invents: its network and malls are the same whatever a run's seed."""


def build_geography(
    params: GeoParams,
    *,
    subscribers_represented: int,
    seed: int,
    cache_dir: Path | None,
    base_dir: Path | None = None,
) -> Geography:
    """Return the geography of a scenario; the same inputs give identical arrays.

    Parameters
    ----------
    params : which folder and how its network is laid out
    subscribers_represented : subscribers that the network is sized for, > 0
    seed : scenario seed
    cache_dir : folder of `.npz` caches, or None to build afresh and keep nothing
    base_dir : where a relative `params.folder` starts: the folder of the scenario file

    Raises
    ------
    ScenarioError : a file of the folder or a parameter is wrong; all problems at once
    """
    if subscribers_represented <= 0:
        raise ScenarioError(
            "a network needs subscribers",
            path="population.represents",
            found=subscribers_represented,
            expected="a number over 0",
        )
    path = find_folder(params.folder, base_dir)
    if cache_dir is None:
        return _build(params, path, subscribers_represented, seed)
    key = cache_key(params, path, subscribers_represented, seed)
    cached = cache_dir / f"geo-{path.name[:40]}-{key[:24]}.npz"
    if cached.is_file():
        try:
            return load_geography(cached)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            cached.unlink(missing_ok=True)  # a damaged cache is rebuilt, never trusted
    geography = _build(params, path, subscribers_represented, seed)
    save_geography(geography, cached)
    return geography


def read_inputs(params: GeoParams, base_dir: Path | None = None) -> Folder:
    """Read and check all that a geography is built from, and build nothing.

    Raises
    ------
    ScenarioError : a file of the folder or a parameter is wrong; all problems of the files at once
    LimitError : the hexes are more than can be built
    """
    folder = read_folder(find_folder(params.folder, base_dir))
    people.check_size(folder, resolution=params.resolution, residents_total=params.residents_total)
    return folder


def fence_names(folder: Folder, params: GeoParams, seed: int) -> tuple[str, ...] | None:
    """Return the name of every fence that a geography will have, invented ones included.

    Returns
    -------
    names : None where so many hexes lie under them that only the build can tell
    """
    if params.malls_per_100k == 0 and params.shops == 0:
        return tuple(fence.name for fence in folder.fences)
    if people.hexes_wanted(folder, params.resolution) > SETTLED_MAX:
        return None
    hexes = _settle(folder, params, seed)
    return tuple(fence.name for fence in _fences(folder, hexes, params, seed))


def cache_key(params: GeoParams, path: Path, subscribers_represented: int, seed: int) -> str:
    """Return a hash of all that decides the arrays: parameters, files, sources, libraries."""
    digest = hashlib.sha256()
    head = {
        "version": CACHE_VERSION,
        "params": params.model_dump(mode="json", exclude={"folder"}),
        "subscribers": subscribers_represented,
        "seed": seed,
        "numpy": np.__version__,
        "h3": hexgrid.h3.__version__,
    }
    digest.update(json.dumps(head, sort_keys=True).encode())
    files = [path / name for name in datasets.FOLDER_FILES] + [fences.FOOTPRINTS_CSV]
    files += sorted(Path(__file__).parent.glob("*.py"))
    for file in files:
        content = file.read_bytes() if file.is_file() else b"absent"
        digest.update(f"{file.name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _build(params: GeoParams, path: Path, subscribers_represented: int, seed: int) -> Geography:
    """Build everything from the files; the steps are in the order of their needs."""
    folder = read_folder(path)
    hexes = _settle(folder, params, seed)
    table = fences.make_table(_fences(folder, hexes, params, seed))
    work, leisure = mobility.work_and_leisure(hexes, seed)
    mall, airport = mobility.malls_and_airports(hexes, table, seed)
    network = sites.lay_out(
        folder,
        hexes,
        table,
        params,
        subscribers_represented=subscribers_represented,
        seed=seed,
    )
    spot_lat = np.concatenate([hexes.lat, table.lat])
    spot_lon = np.concatenate([hexes.lon, table.lon])
    fence_hex = nearest_hex(hexes, table.lat, table.lon)
    spot_cells, spot_cum = _serving(hexes, table, fence_hex, network, params, seed)
    prior = detection.presence(hexes, table, mall, airport, params)
    prints = serving.footprints(spot_cells, spot_cum, spot_lat, spot_lon, prior, network)
    capacity, voice = network.cell_capacity_kbps, network.cell_voice_channels
    if coarse.is_coarse(params.resolution):
        capacity, voice = coarse.pool_capacity(network, prints.people)
    start, fence_ix, fence_p = detection.cell_fences(
        spot_cells,
        spot_cum,
        prior,
        n_hex=len(hexes.ids),
        n_cell=len(network.cell_site),
        p_min=params.fence_p_min,
    )
    near_hex = nearest_hex(hexes, prints.lat, prints.lon)
    columns = {
        **_hex_columns(folder, hexes),
        **_fence_columns(table),
        "cell_region": people.regions_of(folder, hexes.place)[0][near_hex],
    }
    return Geography(
        name=path.name,
        resolution=params.resolution,
        hex_work=work,
        hex_leisure=leisure,
        hex_mall=mall,
        hex_airport=airport,
        site_lat=network.site_lat,
        site_lon=network.site_lon,
        site_kind=network.site_kind,
        cell_site=network.cell_site,
        cell_azimuth_deg=network.cell_azimuth_deg,
        cell_rat=network.cell_rat,
        cell_capacity_kbps=capacity,
        cell_voice_erlang_q=voice,
        cell_fence=network.cell_fence,
        cell_lat=prints.lat,
        cell_lon=prints.lon,
        spot_cells=spot_cells,
        spot_cum=spot_cum,
        spot_lat=spot_lat,
        spot_lon=spot_lon,
        spot_hex=np.concatenate([np.arange(len(hexes.ids)), fence_hex]).astype(np.int32),
        fence_people_prior=prior[len(hexes.ids) :],
        cell_fence_start=start,
        cell_fence_ix=fence_ix,
        cell_fence_p=fence_p,
        data_used=datasets.data_used(folder, synthetic_malls=params.malls_per_100k > 0),
        warnings=(
            *folder.warnings,
            *_odd_fences(table, params.resolution, len(hexes.ids)),
            *detection.undetectable(fence_ix, table),
        ),
        **columns,
    )


def _fences(folder: Folder, hexes: people.Hexes, params: GeoParams, seed: int) -> list[Fence]:
    """Return the fences of the folder, then the invented ones."""
    return [
        *folder.fences,
        *fences.invent_malls(folder, hexes, params, seed),
        *fences.invent_shops(folder, hexes, params, seed),
    ]


def _hex_columns(folder: Folder, hexes: people.Hexes) -> dict[str, Any]:
    """Return the hex, region and place columns of the geography."""
    region, region_names, tz_q = people.regions_of(folder, hexes.place)
    return {
        "hex_id": hexes.ids,
        "hex_lat": hexes.lat,
        "hex_lon": hexes.lon,
        "hex_people": hexes.people,
        "hex_lines": np.rint(hexes.people * hexes.share).astype(np.int64),
        "hex_jobs": hexes.jobs,
        "hex_region": region,
        "hex_place": hexes.place,
        "hex_village": hexes.village,
        "region_names": region_names,
        "region_tz_q": tz_q,
        "place_names": folder.place_names,
        "place_people": folder.place_people,
        "place_lat": folder.place_lat,
        "place_lon": folder.place_lon,
    }


def _fence_columns(table: fences.FenceTable) -> dict[str, Any]:
    """Return the fence columns of the geography."""
    cover_start, cover_ids, cover_res = fences.covers(table)
    return {
        "fence_name": table.name,
        "fence_kind": table.kind,
        "fence_iata": table.iata,
        "fence_lat": table.lat,
        "fence_lon": table.lon,
        "fence_area_m2": table.area_m2,
        "fence_floor_m2": table.floor_m2,
        "fence_synthetic": table.synthetic,
        "fence_polygons": tuple(polygon_dict(polygon) for polygon in table.polygons),
        "fence_hex_start": cover_start,
        "fence_hex_ids": cover_ids,
        "fence_hex_res": cover_res,
    }


def _settle(folder: Folder, params: GeoParams, seed: int) -> people.Hexes:
    """Return the hexes, with nobody living on airfields and a hex under every real fence."""
    inside = [
        hexgrid.cells_inside(fence.polygon, params.resolution)
        for fence in folder.fences
        if fence.kind == FENCE_AIRPORT
    ]
    points = [fence.polygon.representative_point() for fence in folder.fences]
    needed = hexgrid.cells_at(
        np.array([point.y for point in points]),
        np.array([point.x for point in points]),
        params.resolution,
    )
    return people.settle(
        folder,
        resolution=params.resolution,
        seed=seed,
        airport_cells=np.unique(np.concatenate(inside)) if inside else needed[:0],
        needed_cells=np.unique(needed),
        residents_total=params.residents_total,
        market_share_sigma=params.market_share_sigma,
    )


def _serving(
    hexes: people.Hexes,
    table: fences.FenceTable,
    fence_hex: NDArray[np.int64],
    network: sites.Network,
    params: GeoParams,
    seed: int,
) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """Return the serving table of all spots: macro cells, indoor cells, and their leak."""
    serve = coarse.hex_serving if coarse.is_coarse(params.resolution) else serving.macro_serving
    cell, chance = serve(hexes.lat, hexes.lon, hexes.ids, network, params, seed)
    leaks = fences.leak_shares(
        table,
        np.flatnonzero(network.fence_cells),
        hexes.ids,
        resolution=params.resolution,
        leak_m=params.indoor_leak_m,
    )
    serving.add_leak(cell, chance, network, leaks, leak_share=params.indoor_leak_share)
    inside, inside_chance = serving.inside_fences(
        cell[fence_hex], chance[fence_hex], network, indoor_share=params.indoor_share
    )
    return serving.compile_table(
        np.concatenate([cell, inside]), np.concatenate([chance, inside_chance])
    )


def nearest_hex(
    hexes: people.Hexes, lat: NDArray[np.float64], lon: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the hex whose centre is nearest to each of (n,) positions."""
    near, _ = bands.nearest(
        lat,
        lon,
        bands.make_bands(hexes.lat, hexes.lon),
        k=1,
        radii_km=(2.0, 30.0, 300.0, 20000.0),
    )
    return np.maximum(near[:, 0], 0)


def _odd_fences(table: fences.FenceTable, resolution: int, n_hex: int) -> list[str]:
    """Return warnings about fences smaller than a hex, or larger than all hexes together."""
    one = hexgrid.hex_area_m2(resolution)
    small = int((table.area_m2 < one).sum())
    told = [
        f"the fence {table.name[f]!r} spans about {round(table.area_m2[f] / one):,} hexes of "
        f"resolution {resolution}, and the territory has only {n_hex:,}"
        for f in np.flatnonzero(table.area_m2 > one * n_hex).tolist()
    ]
    if small:
        told.append(
            f"{small} of {len(table)} fences are smaller than a hex of resolution {resolution}; "
            "the inside of a fence is a spot of its own, so people are still told apart"
        )
    return told


def summary(geography: Geography) -> dict[str, int]:
    """Return the headline counts of a geography."""
    return {
        "people": geography.people,
        "hexes": geography.n_hex,
        "regions": geography.n_region,
        "sites": geography.n_site,
        "cells": geography.n_cell,
        "fences": geography.n_fence,
    }
