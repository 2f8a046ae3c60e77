"""A real browser for the tests of the pages: Debian's chromium, one for each module, driven by playwright.

What a page must never do fails the test: an error in its console, a request to another host, a fault of accessibility.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from gateway.demo.stage import Stage
from tests.conftest import ROOT

T = TypeVar("T")

PHONE = (390, 844)
"""CSS pixels of a common phone, held upright."""
DESKTOP = (1280, 800)
WAIT_MS = 15_000
"""A loaded machine; an idle one shows everything within a second."""
ARTEFACTS = ROOT / "artefacts" / "screens"
SCREENS = ROOT / "docs" / "screens"
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")


class Screen:
    """A page in a context of its own: `page` is playwright's, `errors` what went wrong in it."""

    def __init__(self, context: Any, host: str) -> None:
        self.page = context.new_page()
        self.context = context
        self.errors: list[str] = []
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        self.page.on("console", self._said)
        self.page.on("request", lambda request: self._asked(request.url, host))

    def _said(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:  # answers that are not 200
            self.errors.append(f"console: {message.text}")

    def _asked(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != host:
            self.errors.append(f"asked elsewhere: {url}")

    def text(self, selector: str) -> str:
        """The text that stands there now."""
        return str(self.page.locator(selector).first.inner_text())

    def shot(self, name: str, *, full: bool = False) -> None:
        """Keep a picture in artefacts/screens; with LAMPPOST_SCREENS=1 also in docs/screens, for the README."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=full)
        if os.environ.get("LAMPPOST_SCREENS"):
            SCREENS.mkdir(parents=True, exist_ok=True)
            shutil.copy(ARTEFACTS / f"{name}.png", SCREENS / f"{name}.png")

    def accessibility(self, rule: str = "") -> list[str]:
        """The faults that axe-core finds by WCAG 2.2 AA, or by one rule of it, in what is shown now."""
        from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

        only = {"type": "rule", "values": [rule]} if rule else {"type": "tag", "values": list(WCAG)}
        found = Axe().run(self.page, options={"runOnly": only}).response
        assert found["passes"], "axe looked at nothing"
        return [
            f"{fault['id']}: {node['target']}: {node['failureSummary']}"
            for fault in found["violations"]
            for node in fault["nodes"]
        ]


Opener = Callable[..., Screen]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; the tests skip, with the reason, where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian package chromium; see debian-packages.txt)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install '.[dev]')")
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_api.sync_playwright() as playwright:  # not for the session: its loop would be in the way of other tests
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_page(chromium: Any) -> Iterator[Opener]:
    """`open_page(url, size=PHONE, locale="en")`: a `Screen` there, in a context that shares nothing with others.

    Certificates of nobody are taken, as a technician takes them after comparing the fingerprint.
    """
    screens: list[Screen] = []

    def make(url: str, size: tuple[int, int] = PHONE, locale: str = "en-GB", **more: Any) -> Screen:
        width, height = size
        context = chromium.new_context(
            viewport={"width": width, "height": height}, locale=locale, ignore_https_errors=True, **more
        )
        screen = Screen(context, urlsplit(url).netloc)
        screens.append(screen)
        screen.page.goto(url)
        return screen

    yield make
    for screen in screens:
        screen.context.close()
    assert not [error for screen in screens for error in screen.errors]


class Elsewhere:
    """An event loop in a thread: playwright's own has this one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        """Run `work` there; what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def close(self) -> None:
        """End it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    """Where asynchronous parts run beside the browser."""
    made = Elsewhere()
    yield made
    made.close()


@pytest.fixture(scope="module")
def stage(chromium: Any, elsewhere: Elsewhere, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's devices, agent, broker and collector, running; `elsewhere.do(stage.cut())` and so on.

    A module that uses it says `stage: Stage`, by which tests/conftest.py knows that it opens ptys.
    """
    made = Stage(tmp_path_factory.mktemp("stage"))
    try:
        elsewhere.do(made.open())
        yield made
    finally:
        elsewhere.do(made.close())
