"""The browser of the tests sees what a page must not do."""

from tests.browser.conftest import Opener

BAD = "data:text/html,<html><title>x</title><body><img src='http://127.0.0.2:9/x.png'><input><script>throw 7</script>"


def test_faults_of_a_page_are_seen(open_page: Opener) -> None:
    screen = open_page(BAD)
    assert any(fault.startswith("label:") for fault in screen.accessibility())
    assert any("html-has-lang" in fault for fault in screen.accessibility())
    assert any(error.startswith("error: 7") for error in screen.errors)
    assert any(error.startswith("asked elsewhere: http://127.0.0.2:9/") for error in screen.errors)
    screen.errors.clear()
