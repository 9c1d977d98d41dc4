"""The rules of the repository that no linter knows.

Each rule is a function from a root folder to a list of findings, `file:line: what is wrong`. One
test holds the project to all of them; another plants a violation of each in an empty tree and
expects it found.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGES = ("sim", "actors", "geo", "scenarios", "dashboard")
MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 90
LEFT_OUT = {".git", ".venv", ".cache", ".hypothesis", "runs", "build", "dist", "__pycache__"}
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil"}

# Written in pieces, so that this file does not find itself.
MACHINE_PATHS = [
    "/" + "work/",
    "/" + "home/",
    "/" + "root/",
    "bash" + "_jobs",
    "." + "library",
    "/opt/" + "pypi",
    "python" + "hosted",
    "pypi" + ".org",
]

Rule = Callable[[Path], list[str]]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    """Enter a check among the rules, under the name of its function."""
    RULES[check.__name__] = check
    return check


def files(root: Path, *suffixes: str) -> Iterator[Path]:
    """Give the project's own files, sorted; without suffixes all of them."""
    for path in sorted(root.iterdir()):
        if path.name in LEFT_OUT or path.name.endswith((".egg-info", "_cache")):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files(path, *suffixes)
        elif path.is_file() and (not suffixes or path.suffix in suffixes):
            yield path


def modules(root: Path, *packages: str) -> list[tuple[str, ast.Module]]:
    """Give (path from the root, syntax tree) of every module of the packages."""
    found = []
    for package in packages:
        if (root / package).is_dir():
            for path in files(root / package, ".py"):
                found.append((path.relative_to(root).as_posix(), _parsed(path)))
    return found


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def _imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Give (line, module, name or '') of every absolute import, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


@rule
def modules_are_short(root: Path) -> list[str]:
    """A Python module has at most 450 lines."""
    return [
        f"{path.relative_to(root)}: {n} lines, at most {MODULE_LINES_MAX}; cut it by idea"
        for path in files(root, ".py")
        if (n := len(path.read_text("utf-8").splitlines())) > MODULE_LINES_MAX
    ]


@rule
def functions_are_short(root: Path) -> list[str]:
    """A function outside tests has at most 90 lines, docstring and all."""
    return [
        f"{name}:{f.lineno}: {f.name} has {n} lines, at most {FUNCTION_LINES_MAX}"
        for name, tree in modules(root, *PACKAGES)
        for f in _functions(tree)
        if (n := (f.end_lineno or f.lineno) - f.lineno + 1) > FUNCTION_LINES_MAX
    ]


@rule
def modules_say_what_they_are_for(root: Path) -> list[str]:
    """Every module opens with a docstring of at least one sentence."""
    return [
        f"{name}: no module docstring of at least one sentence (ending in a full stop)"
        for name, tree in modules(root, *PACKAGES, "tests")
        if name != "tests/__init__.py"
        and not re.search(r"\w+ \w+.*[.:!?)]", ast.get_docstring(tree) or "", re.S)
    ]


@rule
def core_is_documented(root: Path) -> list[str]:
    """Every public function and class at the top of a module of sim/core has a docstring."""
    return [
        f"{name}:{node.lineno}: {node.name} has no docstring"
        for name, tree in modules(root, "sim/core")
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not (ast.get_docstring(node) or "").strip()
    ]


@rule
def messages_are_defined_once(root: Path) -> list[str]:
    """A message's Schema has one definition; among the actors it stands in actors/messages.py."""
    found, first = [], {}
    for name, tree in modules(root, *PACKAGES):
        for call in ast.walk(tree):
            if not (isinstance(call, ast.Call) and _called(call) == "Schema" and call.args):
                continue
            schema = call.args[0]
            if not (isinstance(schema, ast.Constant) and isinstance(schema.value, str)):
                continue
            here = f"{name}:{call.lineno}"
            if schema.value in first:
                found.append(f"{here}: Schema {schema.value!r} stands at {first[schema.value]} too")
            first.setdefault(schema.value, here)
            is_state = name.endswith("/state.py") or name == "actors/profile.py"
            if name.startswith("actors/") and name != "actors/messages.py" and not is_state:
                found.append(f"{here}: Schema {schema.value!r} belongs into actors/messages.py")
    return found


def _called(call: ast.Call) -> str:
    target = call.func
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


@rule
def only_the_command_line_prints(root: Path) -> list[str]:
    """No print outside scenarios/cli and the tests."""
    return [
        f"{name}:{call.lineno}: print; say it through the command line or a logger"
        for name, tree in modules(root, *PACKAGES)
        if not name.startswith("scenarios/cli")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "print"
    ]


@rule
def kernels_are_compiled_in_one_way(root: Path) -> list[str]:
    """Numba's compilers are named in sim/core/kernel.py alone; everything else says @kernel."""
    found = []
    for name, tree in modules(root, *PACKAGES):
        if name == "sim/core/kernel.py":
            continue
        lines = [n for n, module, what in _imports(tree) if module == "numba" and what in COMPILERS]
        lines += [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in COMPILERS
            and isinstance(node.value, ast.Name)
            and node.value.id in ("numba", "nb")
        ]
        found += [f"{name}:{n}: a bare Numba compiler; use @kernel" for n in sorted(set(lines))]
    return found


@rule
def actors_draw_by_key(root: Path) -> list[str]:
    """No numpy.random, and no random, in actors/: draws are functions of their key."""
    found = []
    for name, tree in modules(root, "actors"):
        lines = [
            n
            for n, module, what in _imports(tree)
            if module.split(".")[0] == "random"
            or module.startswith("numpy.random")
            or (module == "numpy" and what == "random")
        ]
        lines += [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr == "random"
            and isinstance(node.value, ast.Name)
            and node.value.id in ("np", "numpy")
        ]
        found += [f"{name}:{n}: a generator; draw by key" for n in sorted(set(lines))]
    return found


@rule
def silenced_warnings_have_a_reason(root: Path) -> list[str]:
    """A noqa, type: ignore or pyright: ignore is followed by its reason on the same line."""
    silence = re.compile(
        r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore)(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[^\]]*\])?(.*)"
    )
    found = []
    for path in files(root, ".py"):
        for n, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            hit = silence.search(line)
            if hit and path.name != "test_repo.py" and not re.search(r"\w{2}", hit[4]):
                found.append(f"{path.relative_to(root)}:{n}: {hit[1]} without a reason")
    return found


@rule
def no_machine_is_named(root: Path) -> list[str]:
    """No path of a machine and no host of a package registry in any text file."""
    found = []
    for path in files(root):
        data = path.read_bytes() if path.stat().st_size < 5_000_000 else b""
        if b"\0" in data[:4096]:
            continue
        for pattern in MACHINE_PATHS:
            # A path starts a word; "work/" inside "network/" is none.
            start = rb"(?<![\w.}])" if pattern.startswith("/") else b""
            hit = re.search(start + re.escape(pattern.encode()), data)
            if hit:
                n = data.count(b"\n", 0, hit.start()) + 1
                found.append(f"{path.relative_to(root)}:{n}: names {pattern!r}")
    return found


@rule
def data_have_a_licence(root: Path) -> list[str]:
    """Every folder of geo/data has a README.md with a sentence about its licence."""
    data = root / "geo" / "data"
    found = []
    for folder in sorted(p for p in data.iterdir() if p.is_dir()) if data.is_dir() else []:
        if folder.name in LEFT_OUT:
            continue
        readme = folder / "README.md"
        text = readme.read_text("utf-8") if readme.is_file() else ""
        if not re.search(r"licen[cs]e|public domain|CC[ -]?(0|BY)", text, re.I):
            found.append(f"{folder.relative_to(root)}: no README.md with a sentence on its licence")
    return found


@rule
def readme_commands_exist(root: Path) -> list[str]:
    """Every `make X` in README.md is a target of the Makefile, and both main ones are shown."""
    readme, makefile = root / "README.md", root / "Makefile"
    if not (readme.is_file() and makefile.is_file()):
        return ["README.md or Makefile is missing"]
    targets = set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile.read_text("utf-8"), re.M))
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", readme.read_text("utf-8"), re.S))
    named = re.findall(r"(?:^|[`\s])make ([a-z][\w-]*)", code)
    found = [f"README.md: make {x} is no target" for x in sorted(set(named) - targets)]
    found += [f"README.md: make {x} is not shown" for x in ("demo", "test") if x not in named]
    return found


@rule
def targets_are_explained(root: Path) -> list[str]:
    """Every phony target of the Makefile has a line in `make help`."""
    makefile = root / "Makefile"
    text = makefile.read_text("utf-8") if makefile.is_file() else ""
    phony = " ".join(re.findall(r"^\.PHONY:(.*)$", text, re.M)).split()
    told = re.findall(r"^([a-z][\w-]*):.*## \S", text, re.M)
    return [f"Makefile: {x} has no ## line" for x in phony if x not in told]


@rule
def users_are_told_of_changes(root: Path) -> list[str]:
    """CHANGELOG.md exists and has a section for what is not released."""
    path = root / "CHANGELOG.md"
    text = path.read_text("utf-8") if path.is_file() else ""
    told = re.search(r"^## .*Unreleased", text, re.M)
    return [] if told else ["CHANGELOG.md: no section Unreleased"]


def _name(requirement: str) -> str:
    """Give the name of a requirement as an index writes it: lower case, words joined by hyphens."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", requirement)[0]).lower()


@rule
def dependencies_are_declared(root: Path) -> list[str]:
    """What the packages import stands in pyproject.toml, with a lower bound, and in the lock."""
    path = root / "pyproject.toml"
    told = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    project = told.get("project", {})
    runtime = list(project.get("dependencies", []))
    runtime += [d for part in project.get("optional-dependencies", {}).values() for d in part]
    every = runtime + [d for part in told.get("dependency-groups", {}).values() for d in part]
    lock = root / "requirements.lock"
    locked = re.findall(r"^([\w.-]+)==", lock.read_text("utf-8") if lock.is_file() else "", re.M)
    missing = {_name(d) for d in every} - {_name(d) for d in locked}
    found = [f"pyproject.toml: {d} has no lower bound" for d in every if ">=" not in d]
    found += [f"requirements.lock: {name} is missing; make lock" for name in sorted(missing)]
    known = {_name(d).split("-")[0] for d in runtime} | set(PACKAGES)
    for name, tree in modules(root, *PACKAGES):
        for n, module, _ in _imports(tree):
            top = module.split(".")[0]
            if top not in known and top not in sys.stdlib_module_names:
                found.append(f"{name}:{n}: {top} is imported and not among the dependencies")
    return found


@rule
def the_lock_is_portable(root: Path) -> list[str]:
    """requirements.lock has a hash for every package and no address."""
    path = root / "requirements.lock"
    text = path.read_text("utf-8") if path.is_file() else ""
    found = [] if text else ["requirements.lock is missing"]
    if "://" in text or re.search(r"^--(?!hash)", text, re.M):
        found.append("requirements.lock: names an address or an index")
    for block in re.split(r"\n(?=\S)", text):
        if "==" in block.split("\n")[0] and "--hash=sha256:" not in block:
            found.append(f"requirements.lock: no hash for {block.split()[0]}")
    return found


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_project_keeps_the_rule(name: str, root: Path) -> None:
    """The project's own tree yields no finding."""
    findings = RULES[name](root)
    assert not findings, f"{RULES[name].__doc__}\n  " + "\n  ".join(findings)


LONG_FUNCTION = '"""A long one."""\ndef f():\n' + "    x = 1\n" * FUNCTION_LINES_MAX
TWO_SCHEMAS = '"""Rows of it."""\nA = Schema("Usage", ())\nB = Schema(\n    "Usage", ())\n'
GOOD_LOCK = "numpy==2.0 \\\n    --hash=sha256:00\n"

# rule -> files of a tree that breaks it, and files of a tree that only looks like it
PLANTED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "modules_are_short": (
        {"sim/a.py": "x = 1\n" * (MODULE_LINES_MAX + 1)},
        {"sim/a.py": "x = 1\n" * MODULE_LINES_MAX, ".venv/b.py": "x = 1\n" * 999},
    ),
    "functions_are_short": ({"geo/a.py": LONG_FUNCTION}, {"tests/a.py": LONG_FUNCTION}),
    "modules_say_what_they_are_for": (
        {"actors/__init__.py": '""""""\n'},
        {"actors/__init__.py": '"""Roles of the loop."""\n'},
    ),
    "core_is_documented": (
        {"sim/core/a.py": "def f(): ...\n"},
        {"sim/core/a.py": "def _f(): ...\n", "sim/record/a.py": "def f(): ...\n"},
    ),
    "messages_are_defined_once": (
        {"actors/messages.py": TWO_SCHEMAS},
        {"actors/messages.py": 'A = Schema("Usage", ())\nB = Schema("Charged", ())\n'},
    ),
    "only_the_command_line_prints": (
        {"sim/a.py": "print(1)\n"},
        {"scenarios/cli.py": "print(1)\n", "sim/a.py": "# print(1)\nconsole.print(1)\n"},
    ),
    "kernels_are_compiled_in_one_way": (
        {"actors/a.py": "from numba import njit\n"},
        {"sim/core/kernel.py": "import numba\nf = numba.njit\n", "actors/a.py": "# njit\n"},
    ),
    "actors_draw_by_key": (
        {"actors/a.py": "import numpy as np\nr = np.random.default_rng(1)\n"},
        {"actors/a.py": '"""No np.random here."""\n', "geo/a.py": "import numpy.random\n"},
    ),
    "silenced_warnings_have_a_reason": (
        {"sim/a.py": "x = 1  # noqa: E741\n"},
        {"sim/a.py": "l = 1  # noqa: E741 - the letter of the formula\n"},
    ),
    "no_machine_is_named": (
        {"docs/a.md": "see " + MACHINE_PATHS[0] + "main\n"},
        {"docs/a.md": "see network/main\n", "runs/a.md": MACHINE_PATHS[0]},
    ),
    "data_have_a_licence": (
        {"geo/data/sites/README.md": "Sites of a country.\n"},
        {"geo/data/sites/README.md": "Sites of a country. Licence: CC BY 4.0.\n"},
    ),
    "readme_commands_exist": (
        {"Makefile": "demo: x\ntest: x\n", "README.md": "`make demo` `make test` `make tea`\n"},
        {"Makefile": "demo: x\ntest: x\n", "README.md": "`make demo` `make test`, make tea\n"},
    ),
    "targets_are_explained": (
        {"Makefile": ".PHONY: demo\ndemo: x\n"},
        {"Makefile": ".PHONY: demo\ndemo: x  ## the demo\n"},
    ),
    "users_are_told_of_changes": ({"README.md": ""}, {"CHANGELOG.md": "## Unreleased\n"}),
    "dependencies_are_declared": (
        {"sim/a.py": "def f():\n    import numpy\n"},
        {
            "sim/a.py": "import numpy, ast\n",
            "pyproject.toml": '[project]\ndependencies = ["numpy>=2"]\n',
            "requirements.lock": GOOD_LOCK,
        },
    ),
    "the_lock_is_portable": (
        {"requirements.lock": "--index-url x\n" + GOOD_LOCK},
        {"requirements.lock": GOOD_LOCK},
    ),
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_rule_finds_what_is_planted(name: str, tmp_path: Path) -> None:
    """Each rule sees the violation planted for it, and nothing in its innocent neighbour."""
    for folder, tree in zip(("bad", "good"), PLANTED[name], strict=True):
        for path, text in tree.items():
            target = tmp_path / folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
    assert RULES[name](tmp_path / "bad")
    assert RULES[name](tmp_path / "good") == []
