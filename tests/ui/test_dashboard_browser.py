"""The dashboard in a real browser: no page error, no exception, no request to another host."""

import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.ui.conftest import TWIN

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("ui"),
]  # fmt: skip

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip
OWN = {"127.0.0.1", "localhost"}
INSIDE = {"data", "blob", "about", "chrome"}
ADDRESSES = ("", "map", "subscriber", "use-cases", "engine", "live")
WAIT_MS = 90_000


@pytest.fixture(scope="module")
def server(finished: Path) -> Iterator[str]:
    """Give the address of `twin dashboard` over a finished run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*TWIN, "dashboard", "--runs", str(finished), "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a Chromium, or skip with the reason."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    if path is None:
        pytest.skip("no Chromium on this machine (Debian, Ubuntu: apt-get install chromium)")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def foreign(url: str) -> bool:
    """Return whether a request leaves the machine."""
    parts = urlsplit(url)
    return parts.scheme not in INSIDE and parts.hostname not in OWN


def watched(browser: Any, scheme: str) -> tuple[Any, list[str]]:
    """Return a page and the list of what goes wrong on it."""
    page = browser.new_context(
        color_scheme=scheme, viewport={"width": 1400, "height": 1000}
    ).new_page()
    page.set_default_navigation_timeout(WAIT_MS)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
    page.on("request", lambda r: wrong.append(f"asked {r.url}") if foreign(r.url) else None)
    page.on("websocket", lambda s: wrong.append(f"asked {s.url}") if foreign(s.url) else None)
    return page, wrong


def settle(page: Any) -> None:
    """Wait until the page has run and its title stands."""
    page.wait_for_selector('[data-test-script-state="notRunning"]', timeout=WAIT_MS)
    page.wait_for_selector("h1", timeout=WAIT_MS)


def colours(png: bytes) -> int:
    """Return how many colours a picture has."""
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    return len(image.getcolors(maxcolors=1 << 24) or ())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_opens_with_no_error_and_asks_no_other_host(
    server: str, browser: Any, address: str, scheme: str
) -> None:
    """Every request of the page, its styles and its maps goes to this machine."""
    page, wrong = watched(browser, scheme)
    page.goto(f"{server}/{address}")
    settle(page)
    if address not in ("live", "map"):
        page.wait_for_selector(".js-plotly-plot .main-svg", timeout=WAIT_MS)
    page.wait_for_timeout(1500)
    assert page.locator('[data-testid="stException"]').count() == 0
    assert wrong == []
    page.context.close()


def test_the_map_is_drawn(server: str, browser: Any) -> None:
    """The canvas gets many colours: hexes in greys, cells from violet to yellow."""
    page, wrong = watched(browser, "light")
    page.goto(f"{server}/map")
    settle(page)
    canvas = page.locator('[data-testid="stDeckGlJsonChart"]').first
    canvas.wait_for(timeout=WAIT_MS)
    seen = 0
    for _ in range(60):
        seen = colours(canvas.screenshot())
        if seen > 200:
            break
        page.wait_for_timeout(500)
    assert seen > 200
    assert wrong == []
    page.context.close()


def test_a_link_restores_run_and_line(server: str, browser: Any) -> None:
    """The address of the page of a line holds run and line, and opens the same again."""
    page, _ = watched(browser, "light")
    page.goto(f"{server}/subscriber")
    settle(page)
    page.wait_for_url(re.compile(r"sub=\d+"), timeout=WAIT_MS)
    assert "run=tiny" in page.url
    line = re.search(r"sub=(\d+)", page.url)
    assert line is not None
    page.goto(page.url)
    settle(page)
    page.get_by_text(f"Line {line.group(1)}:").first.wait_for(timeout=WAIT_MS)
    page.context.close()
