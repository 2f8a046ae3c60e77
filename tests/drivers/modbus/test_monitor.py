"""What the bus monitor says of frames: those of the manuals, and what goes wrong on a wire."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import rtu
from drivers.modbus.monitor import MAX_HELD, ModbusMonitor

# Eastron SDM630Modbus Smart Meter Modbus Protocol Implementation V1.8, 3.8.1: volts 1, as the manual prints it
ASK = bytes.fromhex("01 04 00 00 00 02 71 CB")
ANSWER = bytes.fromhex("01 04 04 43 66 33 34 1B 38")
EXCEPTION = bytes.fromhex("0A 81 02 B0 53")  # Modicon Modbus Protocol Reference Guide PI-MBUS-300: function 1 refused
TCP_ASK = bytes.fromhex("0007 0000 0006 01 04 0000 0002")
TCP_ANSWER = bytes.fromhex("0007 0000 0007 01 04 04 43663334")


def said(*pieces: tuple[str, bytes], transport: str = "rtu") -> list[tuple[str, str]]:
    """(hex, what) of what comes of the pieces, a pause at the end."""
    monitor = ModbusMonitor(transport)
    shown = [one for at, (way, data) in enumerate(pieces) for one in monitor.feed(at, way == ">", data)]
    return [(one.data.hex(), one.what) for one in (*shown, *monitor.flush())]


def whats(*pieces: tuple[str, bytes], transport: str = "rtu") -> list[str]:
    return [what for _, what in said(*pieces, transport=transport)]


def test_a_request_and_its_answer_in_two_pieces() -> None:
    assert said((">", ASK), ("<", ANSWER[:4]), ("<", ANSWER[4:])) == [
        (ASK.hex(), "unit 1, read input 0 to 1"),
        (ANSWER.hex(), "answer: unit 1, function 4, 4 bytes"),
    ]


def test_silence_is_told_with_the_next_request() -> None:
    assert whats((">", ASK), (">", ASK)) == [
        "unit 1, read input 0 to 1",
        "no answer of unit 1",
        "unit 1, read input 0 to 1",
    ]


def test_an_echo_an_exception_and_another_unit() -> None:
    assert whats((">", ASK), ("<", ASK + ANSWER))[1:] == [
        "echo: the request",
        "answer: unit 1, function 4, 4 bytes",
    ]
    assert whats((">", ASK), ("<", EXCEPTION))[1:] == ["foreign: unit 10, exception 2: illegal data address"]
    asked = rtu.encode(10, bytes.fromhex("01 04A1 0001"))
    assert whats((">", asked), ("<", EXCEPTION))[1:] == ["answer: unit 10, exception 2: illegal data address"]


def test_a_second_answer_and_one_of_another_length_are_late_or_foreign() -> None:
    assert whats((">", ASK), ("<", ANSWER + ANSWER))[2] == "late or foreign: unit 1, function 4, 4 bytes"
    longer = rtu.encode(1, bytes.fromhex("04 06 000000000000"))
    assert whats((">", ASK), ("<", longer))[1] == "late or foreign: unit 1, function 4, 6 bytes"


def test_damage_and_noise_before_an_answer() -> None:
    broken = ANSWER[:-1] + b"\0"
    assert whats((">", ASK), ("<", broken))[1] == "damaged: wrong checksum or cut off"
    assert said((">", ASK), ("<", b"\xff\xfe" + ANSWER))[1:] == [
        ("fffe", "no Modbus frame"),
        (ANSWER.hex(), "answer: unit 1, function 4, 4 bytes"),
    ]


def test_tcp_tells_late_answers_by_their_number() -> None:
    late = bytes.fromhex("0006") + TCP_ANSWER[2:]
    assert whats((">", TCP_ASK), ("<", late + TCP_ANSWER), transport="tcp")[1:] == [
        "late: unit 1, function 4, 4 bytes",
        "answer: unit 1, function 4, 4 bytes",
    ]


@given(
    st.lists(st.tuples(st.sampled_from("<<>"), st.binary(max_size=300)), max_size=20),
    st.sampled_from(["rtu", "tcp", "ascii"]),
)
def test_any_bytes_are_shown_once_and_in_order(pieces: list[tuple[str, bytes]], transport: str) -> None:
    total = sum(len(data) for way, data in pieces if way == "<")
    shown = b"".join(bytes.fromhex(data) for data, _ in said(*pieces, transport=transport))
    if total <= MAX_HELD:
        assert shown == b"".join(data for _, data in pieces)
