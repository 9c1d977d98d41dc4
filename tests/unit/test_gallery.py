"""Every scenario of the gallery has its question, its answer, its page and its picture."""

import re
from pathlib import Path

import pytest

from scenarios import load
from scenarios.entries import shipped_names
from scenarios.loader import LIBRARY_DIR

GALLERY = ("airport_rush", "bill_shock", "mall_weekend", "outage")
PICTURE_BYTES_MAX = 150_000


def section(root: Path, name: str) -> str:
    """Return the part of the gallery page about one scenario."""
    text = (root / "docs/gallery.md").read_text("utf-8")
    parts = re.split(r"^## ", text, flags=re.M)
    [found] = [part for part in parts if part.startswith(f"`{name}`")]
    return found


@pytest.mark.parametrize("name", GALLERY)
def test_a_scenario_of_the_gallery_is_small_asks_and_says_what_to_expect(name: str) -> None:
    """At most 200,000 lines, a question, and what is expected in a comment of the file."""
    model = load(name).model
    assert model.population.subscribers <= 200_000
    assert model.question.endswith("?") and model.title
    assert "Expected:" in (LIBRARY_DIR / f"{name}.yaml").read_text("utf-8")


@pytest.mark.parametrize("name", GALLERY)
def test_its_page_has_the_question_the_run_time_and_a_small_picture(name: str, root: Path) -> None:
    """The question stands word for word; the picture exists, is a PNG, and is small."""
    text = section(root, name)
    assert load(name).model.question in " ".join(text.split())
    for part in ("**Question.**", "**Look at.**", "**Answer.**", "**Run time.**"):
        assert part in text
    [(alt, where)] = re.findall(r"!\[([^\]]+)\]\((images/[^)]+\.png)\)", text)
    data = (root / "docs" / where).read_bytes()
    assert len(alt) > 20 and data[:4] == b"\x89PNG" and len(data) < PICTURE_BYTES_MAX


def test_the_gallery_adds_nothing_to_the_shipped_catalogue() -> None:
    """Offers and quests made for a scenario stand in its file, so `city_day` runs without them."""
    shipped = {kind: set(shipped_names(kind)) for kind in ("offers", "quests")}
    own = {
        f"{kind}.{entry}"
        for name in GALLERY
        for kind in shipped
        for entry in set(load(name).catalogue.of(kind)) - shipped[kind]
    }
    assert own == {
        "offers.mall_coupon_text", "offers.shock_pack", "offers.shock_warning",
        "quests.mall_weekender",
    }  # fmt: skip
    assert not {entry.split(".")[1] for entry in own} & set(load("city_day").catalogue.offers)


def test_the_outage_is_the_day_without_it_but_for_the_timeline() -> None:
    """`--set timeline=[]` changes nothing else, so the two runs are paired draw by draw."""
    lost, whole = load("outage"), load("outage", overrides=["timeline=[]"])
    assert lost.model.timeline and not whole.model.timeline
    assert lost.model.model_copy(update={"timeline": ()}) == whole.model
