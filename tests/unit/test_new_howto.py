"""The code in the how-to pages about triggers and geofences works as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_new_stubs import copy_checkout, passes

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
TWIN = "import sys; from scenarios.cli import run_cli; sys.exit(run_cli(sys.argv[1:]))"


def twin(arguments: list[str], cwd: Path) -> None:
    """Run one command of `twin` in a folder that may hold a copy of the project."""
    environment = {**os.environ, "PYTHONPATH": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", TWIN, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", ("add-a-trigger", "add-a-geofence"))
def test_the_code_of_a_page_works(page: str, root: Path, tmp_path: Path) -> None:
    """In reading order: files are written, `twin new`, `check` and `list` run, tests pass.

    `twin run` is not run; its scenario must be there. The property test of triggers is left out
    here, because it runs over the project itself.
    """
    text = (root / "docs/howto" / f"{page}.md").read_text("utf-8")
    if page == "add-a-trigger":
        copy_checkout(root, tmp_path)
    commands = []
    for language, code in BLOCK.findall(text):
        if language:
            name, body = re.fullmatch(r"# file: (\S+)\n(.*)", code, re.S).groups()  # pyright: ignore[reportOptionalMemberAccess] - every block names its file
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(body, "utf-8")
            continue
        for line in code.splitlines():
            program, *arguments = line.split()
            commands.append(arguments[0])
            if program == "python":
                tests = [tmp_path / name for name in arguments[2:] if "property" not in name]
                passes(*tests, cwd=tmp_path)
            elif arguments[0] == "run":
                assert (tmp_path / arguments[1]).is_file()
            else:
                twin(arguments, tmp_path)
    assert {"new", "check", "run"} <= set(commands)
    if page == "add-a-geofence":  # the page says to run the test whose path `twin new` has printed
        passes(*(tmp_path / "tests").rglob("test_geofence_*.py"), cwd=tmp_path)
    assert "## Test it" in text
