"""The technician's page in a real browser, on a phone and a desk, before the demo: what is shown is what there is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.control.server import Args, ControlServer, Verb
from gateway.control.sockets import status_socket
from gateway.demo.stage import Stage
from gateway.web import server
from gateway.web.address import bound
from gateway.web.app import Page
from gateway.web.asked import Asked
from gateway.web.door import Door
from gateway.web.guard import Guard
from tests.browser.conftest import DESKTOP, Elsewhere, Opener, Screen

pytestmark = pytest.mark.slow

POINT, OTHER = "meter/voltage-l1", "meter/voltage-l2"
WORKS = "#verdict[data-level=ok]"


@pytest.fixture(scope="module")
def phone(stage: Stage, elsewhere: Elsewhere, open_page: Opener) -> Screen:
    """A phone that followed the code: the page, logged in."""
    screen = open_page(elsewhere.do(stage.start_web()))
    screen.page.wait_for_selector(WORKS)
    return screen


def opened(screen: Screen, selector: str) -> None:
    """Open a device's list."""
    if screen.page.locator(f"{selector}[open]").count() == 0:
        screen.page.locator(f"{selector} > summary").click()


def test_the_keyboard_does_it_all(phone: Screen) -> None:
    page = phone.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#language").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("html[lang=fr]")
    page.wait_for_selector("#verdict >> text=Tout fonctionne")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[lang=en]")


def test_values_change(phone: Screen) -> None:
    page = phone.page
    assert "#" not in page.url, "the login stays in the address"
    opened(phone, '[data-device="meter"]')
    value = f'[data-point="{POINT}"] .value'
    page.wait_for_function("(s) => /^\\d+(\\.\\d+)? V$/.test(document.querySelector(s).textContent)", arg=value)
    before = phone.text(value)
    page.wait_for_function("([s, v]) => document.querySelector(s).innerText !== v", arg=[value, before])
    assert "online" in phone.text('[data-device="meter"] summary')
    page.wait_for_selector("#event-list li >> text=/running: \\d+ buses/")


def test_the_page_is_there_for_all(phone: Screen) -> None:
    phone.page.evaluate("scrollTo(0, 0)")
    phone.shot("web-phone")
    assert phone.accessibility() == []


def test_an_outage_shows_and_the_doctor_finds_it(phone: Screen, stage: Stage, elsewhere: Elsewhere) -> None:
    page = phone.page
    elsewhere.do(stage.cut())
    page.wait_for_selector("#verdict[data-level=bad] >> text=The link to the platform is down")
    page.wait_for_selector("#tile-link[data-level=bad] >> text=Down")
    page.click("#ask")
    page.wait_for_selector('.finding[data-fault="broker-down"]')
    assert [one.get_attribute("data-fault") for one in page.locator(".finding").all()] == ["broker-down"]
    page.evaluate("scrollTo(0, 0)")
    phone.shot("web-outage")
    elsewhere.do(stage.restore())
    page.wait_for_selector(WORKS)
    page.click("#ask")
    page.wait_for_selector(".finding[data-level=ok], .finding[data-fault=link-settles]")


def test_a_commissioning_is_walked_signed_and_proved(phone: Screen, stage: Stage, tmp_path: Path) -> None:
    page = phone.page
    page.locator("nav >> text=Handover").click()
    opened(phone, '[data-walk="meter"]')
    right, wrong = page.locator(f'[data-step="{POINT}"] .right'), page.locator(f'[data-step="{OTHER}"] .wrong')
    right.focus()
    page.keyboard.press("Space")
    page.wait_for_selector(f'[data-step="{POINT}"] .right[aria-pressed=true]')
    note = page.locator(f'[data-step="{OTHER}"] input')
    note.fill("2 V below its display")
    wrong.click()
    page.wait_for_selector(f'[data-step="{OTHER}"] .wrong[aria-pressed=true]')
    page.wait_for_selector("#progress-label >> text=/^2 of \\d+ points seen, 1 wrong$/")
    page.evaluate("document.querySelector('[data-walk=meter]').scrollIntoView()")
    phone.shot("web-handover")
    page.fill("#sign-who", "Marie Tremblay")
    page.click("#sign .primary")
    page.wait_for_selector("#signed >> text=/^Signed: 1 right, 1 wrong, \\d+ open/")
    with page.expect_download() as started:
        page.click("#signed a")
    record = tmp_path / "record.cose"
    started.value.save_as(record)
    done = verify(record, stage.scene.public_key)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["record"]
    looks = {look["point"]: look for look in found["looks"]}
    assert (found["who"], found["gateway"], len(looks)) == ("Marie Tremblay", "gw-demo", 83)
    assert (looks[POINT]["verdict"], looks[POINT]["quality"], looks[POINT]["unit"]) == ("ok", "good", "V")
    assert float(looks[POINT]["value"]) == pytest.approx(230, rel=0.1)
    assert (looks[OTHER]["verdict"], looks[OTHER]["note"]) == ("fault", "2 V below its display")
    record.write_bytes(record.read_bytes().replace(b"below", b"above"))
    assert verify(record, stage.scene.public_key).returncode == 65


def verify(record: Path, key: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "gateway", "verify", str(record), "--key", str(key), "--json"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_code_lets_in_once_and_a_desk_sees_it_in_french(
    stage: Stage, elsewhere: Elsewhere, open_page: Opener
) -> None:
    url = elsewhere.do(stage.start_web())
    desk = open_page(url, DESKTOP, "fr-CA")
    desk.page.wait_for_selector("#verdict >> text=Tout fonctionne")
    opened(desk, '[data-device="meter"]')
    assert desk.page.title() == "gw-demo · Lamppost"
    desk.shot("web-desktop")
    assert desk.accessibility() == []
    desk.page.emulate_media(color_scheme="dark")
    assert desk.accessibility("color-contrast") == []
    late = open_page(url)
    late.page.wait_for_selector("#login-said >> text=This login was used")
    assert late.accessibility() == []
    desk.page.click("#leave")
    desk.page.wait_for_selector("#login:not([hidden])")
    assert desk.page.evaluate("fetch('/api/now').then((answer) => answer.status)") == 401


HOSTILE = "<img src=x onerror=hit=1><script>hit=1</script>\x1b[31m=cmd|' /C calc'!A0"


def hostile(thing: Any) -> Any:
    """The same with every text of a device, a log or the doctor replaced by what an attacker would say."""
    if isinstance(thing, dict):
        return {key: HOSTILE if key in TEXTS and isinstance(v, str) else hostile(v) for key, v in thing.items()}
    return [hostile(one) for one in thing] if isinstance(thing, list) else thing


TEXTS = {
    "last_error",
    "value",
    "unit",
    "text",
    "message",
    "remedy",
    "gateway",
    "site",
    "error",
    "note",
    "quality",
    "who",
}


def test_texts_of_devices_stay_texts(elsewhere: Elsewhere, stage: Stage, open_page: Opener, tmp_path: Path) -> None:
    status = hostile(stage.status()) | {"stuck": [HOSTILE]}
    status["buses"][0]["id"] = HOSTILE
    status["points"][0]["id"] = f"light/{HOSTILE}"
    status["buses"][0]["devices"][0]["state"] = "offline"
    writes = {"point": HOSTILE, "value": HOSTILE}
    answers = {
        "status": status,
        "events": [{"utc_ms": 1, "level": "error", "text": HOSTILE, "times": 2}],
        "commands": [{"accepted_ms": 1, "status": HOSTILE, "who": HOSTILE, "writes": [writes]}],
        "trends": {"points": {f"light/{HOSTILE}": [1, None, 2]}},
        "doctor": {"findings": [{"level": "failure", "fault": HOSTILE, "message": HOSTILE, "remedy": HOSTILE}]},
        "walk": {"record": None, "points": [
            {"point": f"light/{HOSTILE}", "unit": HOSTILE, "verdict": "fault", "note": HOSTILE, "value": HOSTILE,
             "quality": HOSTILE, "seen_ms": 1}]},
    }  # fmt: skip
    control = ControlServer(
        status_socket(stage.run_dir / "hostile"), {name: verb(told) for name, told in answers.items()}
    )
    served, url = elsewhere.do(serve(control, stage.run_dir / "hostile"))
    try:
        look(open_page(url))
    finally:
        elsewhere.do(served.close())
        elsewhere.do(control.stop())


def look(screen: Screen) -> None:
    """Everything hostile is shown, and none of it is more than text."""
    page = screen.page
    page.wait_for_selector("#verdict[data-level=bad]")
    page.click("#ask")
    page.wait_for_selector(".finding")
    opened(screen, '[data-device="light"]')
    opened(screen, '[data-walk="light"]')
    page.wait_for_selector("#event-list li >> text=onerror")
    page.wait_for_selector("[data-step] .value >> text=onerror")
    assert page.evaluate("typeof hit") == "undefined"
    assert page.locator("main img, main script").count() == 0
    for selector in (".finding strong", ".finding code", "#gateway", "[data-point] .value", "[data-step] .seen"):
        assert "<script>hit=1</script>" in screen.text(selector), selector


def test_silent_devices_and_a_dead_agent_are_told_apart(phone: Screen, stage: Stage, elsewhere: Elsewhere) -> None:
    page = phone.page
    elsewhere.do(stage.children.stop("devices"))
    page.wait_for_selector("#verdict[data-level=bad] >> text=/\\d of 9 devices do not answer/")
    page.wait_for_selector('[data-device="meter"] .state[data-level=bad] >> text=no answer')
    elsewhere.do(stage.kill_agent())
    page.wait_for_selector("#verdict >> text=The agent does not answer")
    assert "sudo systemctl start lamppost" in phone.text("#verdict")
    assert page.locator("body.stale").count() == 1


def verb(told: Any) -> Verb:
    """Always the same answer."""

    async def answer(_: Args) -> Any:
        return told

    return answer


async def serve(control: ControlServer, run_dir: Path) -> tuple[server.Serving, str]:
    """A page before an agent that says what it is told to; its address, with a login."""
    await control.start()
    listening = bound("127.0.0.1", 0)
    origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
    door = Door(lambda: 0.0)
    served = await server.start(Guard(Page(Asked(run_dir), door).app(), [origin]), listening, None)
    return served, f"{origin}/#{door.code()}"
