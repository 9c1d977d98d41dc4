"""The page of hot state is current, complete, and within the limit."""

from scenarios.state_page import LIMIT_BYTES, LINE_SCHEMAS, PAGE, bytes_per_line, state_page
from sim.core.partition import DEFAULT_LINES, Partition
from tests.factories import tiny_world


def test_the_committed_page_is_current(regenerate: bool) -> None:
    """It equals what the schemas say now; `python -m scenarios.state_page` writes it anew."""
    if regenerate:
        PAGE.write_text(state_page(), "utf-8")
    assert PAGE.read_text("utf-8") == state_page(), "run `python -m scenarios.state_page`"


def test_the_page_names_every_column_that_a_partition_holds() -> None:
    """A whole partition is built: its columns are those of the page, its bytes the page's sum."""
    world = tiny_world(subscribers=DEFAULT_LINES)
    roles = world.build(Partition(0, 0, DEFAULT_LINES))
    owners = {schema.name: owner for _, owner, schema in LINE_SCHEMAS}
    held = {name: role.role for role in roles for name in role.state()}
    assert held == {name: owner for name, owner in owners.items() if name != "Profile"}
    page = state_page()
    for _, _, schema in LINE_SCHEMAS:
        assert all(f"| `{column.name}` |" in page for column in schema.fields)
    total = roles[0].profile.nbytes + sum(role.nbytes() for role in roles)
    assert abs(total / DEFAULT_LINES - bytes_per_line()) < 0.05  # judged lines are a draw
    assert bytes_per_line() <= LIMIT_BYTES
