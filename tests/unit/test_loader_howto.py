"""The code in the how-to pages about scenarios and catalogues works as it stands."""

import re
from pathlib import Path

import pytest

from scenarios import load
from scenarios.cli import run_cli

PAGES = (
    "add-an-offer", "add-a-channel", "add-a-quest", "add-a-campaign", "add-a-tariff",
    "add-a-scenario",
    "place-roles-apart",
)  # fmt: skip
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_works(page: str, root: Path, tmp_path: Path, monkeypatch, capsys):
    """Its files are written, every `twin check` and `twin list` is run, scenarios are loaded."""
    text = (root / "docs/howto" / f"{page}.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    scenarios = []
    commands = 0
    for language, code in BLOCK.findall(text):
        if language == "yaml":
            name, body = re.fullmatch(r"# file: (\S+)\n(.*)", code, re.S).groups()  # pyright: ignore[reportOptionalMemberAccess] - every block names its file
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(body, "utf-8")
            scenarios += [name] if "/" not in name else []
        elif language == "python":
            exec(compile(code, page, "exec"), {})
        for line in code.splitlines() if not language else ():
            arguments = line.split()
            assert arguments[0] == "twin"
            if arguments[1] in ("check", "list"):
                assert run_cli(arguments[1:]) == 0, capsys.readouterr().err
                commands += 1
            else:
                assert Path(arguments[2]).is_file()
    for name in scenarios:
        assert load(name).catalogue.tariffs
    assert commands and scenarios
    assert "## Test it" in text
