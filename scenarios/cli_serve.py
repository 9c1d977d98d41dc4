"""The command `twin serve`: inbound decisions over HTTP.

It owns the options of a server and what is said at its start.  It must not know how it answers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out

EXAMPLE = """Example: twin serve city_day --subscribers 50000 --port 8080

and from a second terminal, once it says that it serves:

curl http://127.0.0.1:8080/v1/decisions -H "Authorization: Bearer $TWIN_TOKEN"
-H "Content-Type: application/json" -d '{"customer": {"identity": "line", "id": "4711"}}'"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", epilog=EXAMPLE)(serve)


def serve(
    scenario: Annotated[str, common.SCENARIO_ARGUMENT],
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65_535)] = 8080,
    from_run: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN", show_default=False,
                     help="Start from the newest checkpoint of a run of the same scenario."),
    ] = None,
    speed: Annotated[float, typer.Option(help="Simulated over wall seconds.")] = 1.0,
    subscribers: Annotated[int | None, common.SUBSCRIBERS] = None,
    days: Annotated[float | None, common.DAYS] = None,
    seed: Annotated[int | None, common.SEED] = None,
    settings: Annotated[list[str] | None, common.SETTINGS] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the journal; must not exist.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the journal of --out.")
    ] = False,
    sync: Annotated[
        str,
        typer.Option(help="Journal to disk: `second`, once a second; `always`, before each answer.",
                     metavar="second|always"),
    ] = "second",
    rate: Annotated[
        float | None,
        typer.Option(help="Requests a second that are let in; more get 429.", show_default="4000"),
    ] = None,
    docs: Annotated[bool, typer.Option("--docs", help="Serve /docs, behind the token.")] = False,
    host: Annotated[
        str, typer.Option(help="Address; any but this machine's needs TWIN_TOKEN.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Another name by which it is called; repeat it.",
                     show_default=False),
    ] = None,
    first_number: Annotated[
        int | None,
        typer.Option(help="Phone number of line 0.", min=0, max=10**15 - 1,
                     show_default="79123456000"),
    ] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
) -> None:  # fmt: skip
    """Answer inbound requests with the decisions of the run's engine: JSON, and XML request-promo.

    The token comes from TWIN_TOKEN, or is made and shown. Every decision is journalled before it
    is answered. Ctrl-C ends it.
    """
    _check(speed=speed, rate=rate, sync=sync, resume=resume, out_dir=out_dir)
    from scenarios.serve.limits import RATE
    from scenarios.serve.server import FIRST_NUMBER, Options
    from scenarios.serve.server import serve as run_server

    loaded = common.load_with(
        scenario, settings=settings or (), subscribers=subscribers, days=days, seed=seed
    )
    options = Options(
        host=host, port=port, run=None if from_run is None else common.find_run(from_run),
        speed=speed, rate=RATE if rate is None else rate, out=out_dir, resume=resume,
        always=sync == "always", docs=docs,
        first_number=FIRST_NUMBER if first_number is None else first_number,
        names=tuple(name or ()),
    )  # fmt: skip
    title = loaded.model.title or loaded.model.scenario

    def ready(about: dict[str, Any]) -> None:
        if as_json:
            common.out_json(about)
        else:
            out(f"serving {title} at {about['url']} (Ctrl-C ends it)")
            shown = about["token"] if about["made"] else "as in TWIN_TOKEN"
            out(f"  token    {shown}")
            out(f"  journal  {about['journal']}")
        sys.stdout.flush()

    def told(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"{what} ...\n")

    run_server(loaded, options, ready=ready, told=told)


def _check(
    *, speed: float, rate: float | None, sync: str, resume: bool, out_dir: Path | None
) -> None:
    from sim.core.errors import Problem, ScenarioError

    problems = []
    if not 0 <= speed <= 1e6:
        problems.append(Problem("out of range", file="--speed", found=str(speed),
                                expected="0 (the clock stands) to 1000000"))  # fmt: skip
    if rate is not None and not 1 <= rate <= 1e6:
        problems.append(Problem("out of range", file="--rate", found=str(rate),
                                expected="1 to 1000000 requests a second"))  # fmt: skip
    if sync not in ("second", "always"):
        problems.append(Problem("not known", file="--sync", found=repr(sync),
                                expected="second or always"))  # fmt: skip
    if resume and out_dir is None:
        problems.append(Problem("which journal?", file="--resume", expected="--out DIR with it"))
    if problems:
        raise ScenarioError.collect(problems)
