"""What a catalogue may ask of the engine's one game, and where the tests of its entries may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios import load
from sim.core.errors import ScenarioError

SCENARIO = "scenario: two\nextends: city_day\ncatalog: {folder: mine, quests: [%s]}\n"
QUEST = (
    "quest: evening_walk\ntitle: Evening walk\nopens_h: 16\ncloses_h: 23\n"
    "steps: [{do: use_data_mb, at_least: 150}]\n"
)


def folder_with_quest(root: Path, quests: str) -> Path:
    """Write a scenario with a folder of entries, their tests beside them."""
    (root / "mine" / "quests").mkdir(parents=True)
    (root / "mine" / "tests").mkdir()
    (root / "mine" / "quests" / "evening_walk.yaml").write_text(QUEST)
    path = root / "two.yaml"
    path.write_text(SCENARIO % quests)
    return path


def test_two_quests_at_a_time_are_refused_by_name(tmp_path: Path) -> None:
    """The engine keeps one progress for a line: the second quest would never open."""
    with pytest.raises(ScenarioError, match="evening_walk, mall_explorer"):
        load(str(folder_with_quest(tmp_path, "evening_walk, mall_explorer")))


def test_the_tests_of_entries_may_lie_in_their_folder(tmp_path: Path) -> None:
    """`twin new` writes them there, and the catalogue is read all the same."""
    loaded = load(str(folder_with_quest(tmp_path, "evening_walk")))
    assert list(loaded.catalogue.quests) == ["evening_walk"]
