"""How many quests a scenario may have, and where the tests of its entries may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.loyalty.params import QUESTS_MAX
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


def test_more_quests_than_the_engine_follows_are_refused_by_name(tmp_path: Path) -> None:
    """Each deed of a player is looked at for every quest, so there is a limit, and it is told."""
    path = folder_with_quest(tmp_path, "evening_walk, mall_explorer")
    assert sorted(load(str(path)).catalogue.quests) == ["evening_walk", "mall_explorer"]
    names = [f"walk_{k}" for k in range(QUESTS_MAX)]
    for name in names:
        text = QUEST.replace("evening_walk", name)
        (tmp_path / "mine" / "quests" / f"{name}.yaml").write_text(text)
    path.write_text(SCENARIO % ", ".join(names))
    assert len(load(str(path)).catalogue.quests) == QUESTS_MAX
    path.write_text(SCENARIO % ", ".join([*names, "evening_walk"]))
    with pytest.raises(ScenarioError, match=f"{QUESTS_MAX + 1} quests"):
        load(str(path))


def test_the_tests_of_entries_may_lie_in_their_folder(tmp_path: Path) -> None:
    """`twin new` writes them there, and the catalogue is read all the same."""
    loaded = load(str(folder_with_quest(tmp_path, "evening_walk")))
    assert list(loaded.catalogue.quests) == ["evening_walk"]
