"""The models as other packages use them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from config import Broker, Bus, Config, Device, Gateway, Limits, Point, Proxy, Report, Span, explain


class Options(BaseModel):
    """A driver's keys."""

    model_config = ConfigDict(extra="forbid")

    address: int
    table: str = "holding"


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker.example", "broker.example", 1883, False),
        ("mqtts://broker.example", "broker.example", 8883, True),
        ("mqtts://10.0.0.5:1234", "10.0.0.5", 1234, True),
        ("mqtt://[2001:db8::1]:1883/", "2001:db8::1", 1883, False),
        ("mqtts://Broker.Example", "broker.example", 8883, True),
    ],
)
def test_broker(url: str, host: str, port: int, tls: bool) -> None:
    assert Broker.parse(url) == Broker(host=host, port=port, tls=tls, url=url)


@pytest.mark.parametrize(
    ("url", "port", "tls", "path"),
    [
        ("ws://broker.example", 80, False, "/mqtt"),
        ("wss://broker.example/", 443, True, "/mqtt"),
        ("wss://broker.example:8084/a/b-c.d", 8084, True, "/a/b-c.d"),
    ],
)
def test_a_broker_behind_a_websocket(url: str, port: int, tls: bool, path: str) -> None:
    assert Broker.parse(url) == Broker(host="broker.example", port=port, tls=tls, url=url, path=path)


@pytest.mark.parametrize(
    ("url", "kind", "host", "port"),
    [
        ("http://proxy.example", "http", "proxy.example", 8080),
        ("socks5://[2001:db8::1]:9050/", "socks5", "2001:db8::1", 9050),
        ("socks5://10.0.0.1", "socks5", "10.0.0.1", 1080),
    ],
)
def test_proxy(url: str, kind: str, host: str, port: int) -> None:
    assert Proxy.parse(url) == Proxy(kind=kind, host=host, port=port)


@pytest.mark.parametrize("url", ["https://p", "socks4://p", "http://u:secret@p", "http://p/x", "p:8080", "http://"])
def test_what_is_no_proxy(url: str) -> None:
    with pytest.raises(ValueError) as error:
        Proxy.parse(url)
    assert "secret" not in str(error.value)


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_span_goes_over_midnight(begin: int, end: int, minute: int) -> None:
    hours = {m % 1440 for m in range(begin, end if begin <= end else end + 1440)}
    assert Span(begin=begin, end=end).holds(minute) == (minute in hours)


@given(st.text() | st.text("mqtws:/@[]?#.%0a ", max_size=30))
def test_any_text_is_a_broker_or_refused(text: str) -> None:
    try:
        broker = Broker.parse(text)
    except ValueError:
        return
    assert 0 < broker.port < 65536
    assert broker.host
    assert "@" not in broker.url


@pytest.mark.parametrize(
    ("scale", "offset", "scaling"),
    [
        ("1", "0", (1, 0, 0)),
        ("0.1", "0", (1, 0, -1)),
        ("0.10", "0", (1, 0, -1)),
        ("0.1", "-40", (1, -400, -1)),
        ("100", "0", (100, 0, 0)),
        ("1E+3", "0", (1000, 0, 0)),
        ("-0.25", "0.5", (-25, 50, -2)),
        ("2", "0.001", (2000, 1, -3)),
    ],
)
def test_scaling_is_exact(scale: str, offset: str, scaling: tuple[int, int, int]) -> None:
    assert Point(id="a/b", name="b", scale=Decimal(scale), offset=Decimal(offset)).scaling == scaling


def test_code_may_give_milliseconds() -> None:
    report = Report(on="change", deadband=Decimal("0.5"), max_interval=900_000)
    point = Point(id="a/b", name="b", report=report, every=1000, limits=Limits(min=0))
    device = Device(id="a", bus="x", points={"b": point}, options={"address": 7})
    config = Config(gateway=Gateway(id="g", site="s"), buses={"x": Bus(id="x", driver="modbus")}, devices={"a": device})
    assert config.devices["a"].points["b"].every == 1000
    assert config.where("devices.a") == ""


def test_code_may_not_give_nonsense() -> None:
    with pytest.raises(ValidationError, match="from 20ms to 1d"):
        Point(id="a/b", name="b", every=1)


def test_explain_is_for_the_options_of_drivers_too() -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({"tabel": "input", "scal": Decimal("0.1")})
    told = explain(caught.value, "devices.a.points.b", Options, known=Point.keys())
    assert told[0] == ("devices.a.points.b.address", "is missing", None)
    assert told[1][0] == "devices.a.points.b.tabel"
    assert 'did you mean "table"?' in told[1][1]
    assert told[1][2] == "input"
    assert 'did you mean "scale"?' in told[2][1]
