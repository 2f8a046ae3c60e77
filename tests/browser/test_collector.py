"""The platform's page in a real browser before the demo: an outage, a gap, a chart, an alarm, a command."""

import asyncio
import csv
import io
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer.catalogue import SeriesEntry
from collector.alarms.rules import Rules
from collector.alarms.watch import Watch
from collector.broker import Address
from collector.web import users
from collector.web.app import Page, Settings
from collector.web.guard import Guard
from collector.web.server import bound, server
from config import Broker
from gateway.demo.scene import GATEWAY, LIGHT
from gateway.demo.stage import Stage
from tests.browser.conftest import DESKTOP, Elsewhere, Opener, Screen
from tests.collector.maker import Bench, Gateway

pytestmark = pytest.mark.slow

PASSWORD = "a lamp at the corner"  # noqa: S105 - of this test
SILENT_MS = 4000
HOSTILE = "<img src=x onerror=hit=1><script>hit=1</script>\x1b[31m=cmd|' /C calc'!A0"
MINUTE = 60_000


class Site:
    """The page before the demo's database, beside which there is a gateway with a gap and a bad tongue."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        known = users.Users(folder / "users.json")
        known.put("anna", users.with_password(users.Role.OPERATOR, PASSWORD))
        known.put("vera", users.with_password(users.Role.VIEWER, PASSWORD))
        address = Address(Broker.parse(f"mqtt://127.0.0.1:{stage._broker}"), "lamppost")
        self.page = Page(Settings(stage.scene.database, folder / "users.json", SILENT_MS, address))
        self.listening = bound("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.server = server(Guard(self.page.app(), [self.url]))
        self.serving: asyncio.Task[None] | None = None
        history(stage.scene.database)

    async def start(self) -> None:
        self.serving = asyncio.create_task(self.server.serve(sockets=[self.listening]))

    async def stop(self) -> None:
        self.server.should_exit = True
        assert self.serving is not None
        await self.serving
        self.page.close()


def history(database: Path) -> None:
    """Six hours of a gateway's samples; twenty minutes of them have not arrived, and an alarm says so."""
    now = time.time_ns() // 1_000_000
    made = Gateway(gateway="gw-0023", site="nord", clock_ms=now - 360 * MINUTE)
    bench = Bench(database, made)
    place = (46.8139, -71.2080)
    lines = [
        SeriesEntry(1, "pump", "power", "kW", "float64", "pump-7", place, (("street", HOSTILE),), public=True),
        SeriesEntry(2, "pump", "says", "", "text", "pump-7", place, (("street", HOSTILE),)),
    ]
    messages = [made.describe(lines)]
    for minute in range(10, 350, 10):
        many = [(1, (minute + n) * MINUTE, 4 + ((minute + n) % 60) / 60, 0) for n in range(10)]
        messages.append(made.send([*many, (2, (minute + 9) * MINUTE, HOSTILE, 0)]))
    bench.now_ms = now + 10 * MINUTE  # so that it is online as long as the tests run
    bench.take(*messages[:20], *messages[22:])
    Watch(bench.database, Rules(gap=1000, silent_device=0), lambda: now).look()
    bench.close()


@pytest.fixture(scope="module")
def cheap() -> Iterator[None]:
    """scrypt that takes no time: what it costs is tried elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "COST", 16)
        yield


@pytest.fixture(scope="module")
def site(cheap: None, stage: Stage, elsewhere: Elsewhere, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(stage, tmp_path_factory.mktemp("page"))
    elsewhere.do(made.start())
    yield made
    elsewhere.do(made.stop())


@pytest.fixture(scope="module")
def desk(site: Site, open_page: Opener) -> Screen:
    """A desk of an operator."""
    return enter(open_page(site.url, DESKTOP), "anna")


@pytest.fixture(scope="module")
def phone(site: Site, open_page: Opener) -> Screen:
    """A phone of a viewer, in French."""
    return enter(open_page(site.url, locale="fr-CA"), "vera")


def enter(screen: Screen, name: str, password: str = PASSWORD) -> Screen:
    screen.page.fill("#name", name)
    screen.page.fill("#password", password)
    screen.page.click("#login button")
    return screen


def test_who_is_not_known_sees_nothing(site: Site, open_page: Opener) -> None:
    screen = enter(open_page(site.url), "anna", "a lamp at the other corner")
    screen.page.wait_for_selector("#login-said >> text=do not go together")
    assert screen.page.locator("#view *").count() == 0
    assert screen.accessibility() == []


def test_gateways_and_their_gaps_show(desk: Screen) -> None:
    page = desk.page
    page.wait_for_selector(f"[data-gateway={GATEWAY}] .wide >> text=online")
    assert "1 gap" in desk.text("[data-gateway=gw-0023]")
    page.wait_for_selector("[data-tile=onlineTile] dd >> text=2 of 2")
    desk.shot("collector-gateways")
    assert desk.accessibility() == []
    page.emulate_media(color_scheme="dark")
    assert desk.accessibility("color-contrast") == []
    page.emulate_media(color_scheme="light")
    page.click("[data-gateway=gw-0023] a")
    page.wait_for_selector("[data-gap=pending] >> text=batches 21 to 22")
    assert page.title() == "gw-0023 · Lamppost"
    assert desk.accessibility() == []


def test_devices_and_their_values_show(desk: Screen) -> None:
    page = desk.page
    page.goto(f"{page.url.partition('#')[0]}#/gateway/{GATEWAY}")
    value = "[data-point='meter/voltage-l1'] .value"
    page.wait_for_selector(value)
    before = desk.text(value)
    assert before.endswith(" V")
    assert 200 < float(before.removesuffix(" V")) < 260
    desk.shot("collector-gateway")
    assert desk.accessibility() == []
    page.goto(f"{page.url.partition('#')[0]}#/gateway/gw-0023")


def test_texts_of_devices_stay_texts(desk: Screen) -> None:
    page = desk.page
    page.wait_for_selector("[data-point='pump/says'] .value")
    assert "<script>hit=1</script>" in desk.text("[data-point='pump/says'] .value")
    assert "<script>hit=1</script>" in desk.text("[data-device=pump] header p")
    assert page.evaluate("typeof hit") == "undefined"
    assert page.locator("main img, main script").count() == 0


def test_all_is_proved_again(desk: Screen) -> None:
    desk.page.click("#prove")
    desk.page.wait_for_selector("#view .list >> text=/Stream 01010101: incomplete; 33 batches/")


def test_a_chart_draws(desk: Screen) -> None:
    page = desk.page
    page.click("[data-point='pump/power'] a")
    page.click("text=24 hours")
    page.wait_for_selector("[data-key=day][aria-pressed=true]")
    page.wait_for_selector(".chart canvas")
    page.wait_for_function("document.querySelector('.chart').dataset.places > 300")
    label = page.get_attribute(".plot", "aria-label")
    assert label.startswith("pump/power: from 4 kW to 4.983 kW")
    assert "1 gap, shaded." in label
    assert page.evaluate(PAINTED) > 1000
    page.hover(".chart .u-over", position={"x": 1000, "y": 50})
    page.wait_for_selector(".at strong >> text=kW")
    page.click("summary")
    assert desk.accessibility() == []
    desk.shot("collector-chart")


PAINTED = """() => {
  const canvas = document.querySelector('.chart canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let n = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && data[i + 2] > data[i] + 60) n++;
  return n;
}"""
"""How many pixels have the colour of the line."""


def test_an_alarm_is_acknowledged(desk: Screen) -> None:
    page = desk.page
    page.click("nav >> text=Alarms")
    page.wait_for_selector("text=Batches are missing")
    page.locator("[data-alarm] input").fill("a driver brings the card")
    page.click("text=I know of it")
    page.wait_for_selector("[data-alarm] .state >> text=anna knows")
    assert "a driver brings the card" in desk.text("[data-alarm]")
    desk.shot("collector-alarms")
    assert desk.accessibility() == []


def test_a_command_signed_elsewhere_is_relayed_and_its_result_is_seen(
    desk: Screen, stage: Stage, tmp_path: Path
) -> None:
    made = tmp_path / "dim.cose"
    words = ["command", "sign", "--key", str(stage.scene.folder / "operator.key"), "--gateway", GATEWAY]
    words += ["--write", f"{LIGHT}=65", "--who", "Anna", "--why", "a fair", "--database", str(stage.scene.database)]
    subprocess.run(stage.scene.collector(*words, "-o", str(made), "--yes"), check=True, capture_output=True)
    page = desk.page
    page.click("nav >> text=Commands")
    page.set_input_files("#file", made)
    page.click("text=Check")
    page.wait_for_selector(f"#checked >> text={GATEWAY}: write {LIGHT} = 65; Anna: a fair")
    page.click("#relay")
    page.wait_for_selector("#checked >> text=Handed to the broker.")
    page.wait_for_selector("[data-command] .state[data-level=ok] >> text=done and read back")
    assert "says 65" in desk.text("[data-command]")
    assert desk.accessibility() == []
    desk.shot("collector-commands")


def test_a_viewer_takes_open_data_and_nothing_else(phone: Screen, tmp_path: Path) -> None:
    page = phone.page
    page.click("nav >> text=Données")
    page.wait_for_selector("#take")
    assert page.locator("#all").count() == 0
    with page.expect_download() as started:
        page.click("#take")
    started.value.save_as(tmp_path / "samples.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "samples.csv").read_text())))
    assert {(row["device"], row["point"]) for row in rows} == {("pump", "power")}
    assert phone.accessibility() == []
    phone.shot("collector-data")
    page.click("#view .list >> text=gw-0023/pump/power")
    page.wait_for_selector(".chart canvas")
    phone.shot("collector-phone-chart")
    page.click("text=7 jours")
    page.wait_for_selector("[data-key=week][aria-pressed=true]")
    status = "path => fetch(path).then((answer) => answer.status)"
    assert page.evaluate(status, "/samples.csv?from=0&to=1&all=1") == 403
    page.click("nav >> text=Alarmes")
    page.wait_for_selector("[data-alarm]")
    assert page.locator("[data-alarm] form").count() == 0


def test_an_outage_shows_on_a_phone(phone: Screen, stage: Stage, elsewhere: Elsewhere) -> None:
    page = phone.page
    page.click("nav >> text=Passerelles")
    elsewhere.do(stage.cut())
    page.wait_for_selector(f"[data-gateway={GATEWAY}] .state[data-level=bad] >> text=muette")
    page.wait_for_selector("[data-tile=onlineTile][data-level=bad]")
    phone.shot("collector-phone")
    assert phone.accessibility() == []
    page.click("#leave")
    page.wait_for_selector("#login:not([hidden])")
    assert page.evaluate("fetch('/api/gateways').then((answer) => answer.status)") == 401
