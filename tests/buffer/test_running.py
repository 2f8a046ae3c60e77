"""What a gateway tells of the files it runs: bounded, and nothing of it trusted. The form: docs/format.md."""

import base64
import json
import random
import string
import zlib
from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer.configuration import MAX_FILES, MAX_TEXT_BYTES
from buffer.enrolment import MAX_ANSWER, Answer
from buffer.errors import BatchFormatError
from buffer.keys import SigningKey
from buffer.running import ANEW_MS, MAX_JSON, MAX_PACKED, Running, pack, unpack
from config.prints import fingerprint_of
from ext import MAX_TEXT_BYTES as SAMPLE_BYTES

MAIN = "lamppost.toml"
TEXTS = ((MAIN, '[gateway]\nid = "gw-1"\n'), ("conf.d/street.toml", "# né\n"), ("profiles/p.toml", ""))
GOOD = Running(fingerprint_of(TEXTS[:2]), "own", 1_795_456_628_401, TEXTS, 2)

names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20).map(lambda name: f"{name}.toml")
others = st.tuples(st.sampled_from(["conf.d", "profiles"]), names).map("/".join)
files = st.tuples(names, st.lists(others, max_size=5, unique=True)).flatmap(
    lambda found: st.tuples(*(st.tuples(st.just(name), st.text(max_size=200)) for name in (found[0], *found[1])))
)


@given(files)
def test_what_is_told_is_what_is_read(texts: tuple[tuple[str, str], ...]) -> None:
    try:
        for _, text in texts:
            text.encode()
    except UnicodeEncodeError:
        return
    told = replace(GOOD, texts=texts)
    assert Running.from_json(told.to_json()) == told


def test_the_form_is_that_of_the_specification() -> None:
    item = json.loads(GOOD.to_json())
    assert item.keys() == {"hash", "source", "at_ms", "hidden", "reason", "files"}
    plain = zlib.decompress(base64.b85decode(item["files"]))
    assert cbor2.loads(plain) == [1, [list(text) for text in TEXTS]]


def packed(item: object) -> str:
    return base64.b85encode(zlib.compress(cbor2.dumps(item))).decode()


@pytest.mark.parametrize(
    "files",
    [
        packed([2, [[MAIN, ""]]]), packed([1, []]), packed([1]), packed(7), packed([1, [[MAIN, b""]]]),
        packed([1, [[MAIN]]]), packed([1, [[MAIN, ""], ["b.toml", ""]]]), packed([1, [["../a.toml", ""]]]),
        packed([1, [["/etc/shadow", ""]]]), packed([1, [[MAIN, ""], ["conf.d/../../b.toml", ""]]]),
        packed([1, [[MAIN, ""], ["profiles/../b.toml", ""]]]), packed([1, [[MAIN, ""], ["keys/b.toml", ""]]]),
        packed([1, [[MAIN, ""], ["conf.d/b.toml", ""], ["conf.d/b.toml", ""]]]), packed([1, [["a\0.toml", ""]]]),
        packed([1, [[MAIN, ""], ["conf.d/.b.toml", ""]]]), packed([1, [[f"{'a' * 60}.toml", ""]]]),
        packed([1, [[MAIN, ""], *([f"conf.d/{n}.toml", ""] for n in range(2 * MAX_FILES))]]),
        packed([1, [[MAIN, "x" * (MAX_TEXT_BYTES + 1)]]]), packed([1, [[MAIN, "x" * (64 << 20)]]]),
        packed([1, [[MAIN, "x" * MAX_TEXT_BYTES], ["conf.d/b.toml", "x"]]]),
        base64.b85encode(zlib.compress(b"\x82\x01\x81\x82\x66a.toml\x62\xff\xfe")).decode(),  # no UTF-8
        base64.b85encode(zlib.compress(cbor2.dumps([1, [[MAIN, ""]]])) + b"x").decode(),
        base64.b85encode(zlib.compress(cbor2.dumps([1, [[MAIN, "x" * 99]]]))[:-5]).decode(),
        "x" * (MAX_PACKED + 1), "", "é", "\0", 7, [], {}, True,
    ],
)  # fmt: skip
def test_hostile_files_are_refused(files: object) -> None:
    with pytest.raises(BatchFormatError):
        Running.from_item(GOOD.to_item() | {"files": files})


@pytest.mark.parametrize(
    "wrong",
    [
        {"hash": "x" * 64}, {"hash": "ab"}, {"hash": None}, {"source": 1}, {"at_ms": -1}, {"at_ms": 1.5},
        {"at_ms": True}, {"at_ms": 1 << 48}, {"hidden": -1}, {"reason": "x" * 201}, {"reason": None},
    ],
)  # fmt: skip
def test_fields_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(BatchFormatError):
        Running.from_item(GOOD.to_item() | wrong)


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "[" * MAX_JSON, " " * (MAX_JSON + 1), '{"hash": "\\ud800"}'])
def test_what_is_none_at_all_is_refused(text: str) -> None:
    with pytest.raises(BatchFormatError):
        Running.from_json(text)


def _filling() -> tuple[tuple[str, str], ...]:
    """The text that just fits."""
    noise = "".join(random.Random(1).choices(string.printable, k=60_000))
    least, most = 0, len(noise)
    while most - least > 1:
        middle = (least + most) // 2
        try:
            pack(((MAIN, noise[:middle]),))
            least = middle
        except BatchFormatError:
            most = middle
    return ((MAIN, noise[:least]),)


def test_the_largest_fits_a_sample_and_an_answer(tmp_path: Path) -> None:
    told = replace(GOOD, texts=_filling(), reason="x" * 200)
    assert MAX_PACKED - 10 <= len(pack(told.texts)) <= MAX_PACKED
    assert len(told.to_json().encode()) <= SAMPLE_BYTES
    certificates = "x" * 12_000  # three times what a certificate and an authority of RSA with 4096 bits have
    text = replace(_answer(tmp_path), running=told, certificate=certificates, ca=certificates).to_json()
    assert len(text) <= MAX_ANSWER
    assert Answer.from_json(text).running == told


def _answer(folder: Path) -> Answer:
    key = SigningKey.create(folder / "key").public("", "", "authority")
    return Answer("gw-1", "nord", "CERT", "CA", key, ("mqtts://broker.example:8883",))


def test_an_answer_says_more_only_where_there_is_more(tmp_path: Path) -> None:
    plain = _answer(tmp_path)
    assert json.loads(plain.to_json()).keys() == {
        "version", "gateway", "site", "certificate", "ca", "authority", "brokers", "root",
    }  # fmt: skip
    assert Answer.from_json(plain.to_json()) == plain, "one of an older platform"
    full = replace(plain, running=GOOD, updates=plain.authority)
    assert Answer.from_json(full.to_json()) == full
    newer = json.loads(full.to_json()) | {"something": "new"}
    assert Answer.from_json(json.dumps(newer)) == full


@pytest.mark.parametrize("name", ["running", "updates"])
@pytest.mark.parametrize("value", [7, "x", [], {}, {"files": "x"}, True])
def test_an_answer_with_a_wrong_part_is_refused(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(BatchFormatError):
        Answer.from_json(json.dumps(json.loads(_answer(tmp_path).to_json()) | {name: value}))


def test_only_an_authority_stands_for_updates(tmp_path: Path) -> None:
    other = SigningKey.create(tmp_path / "other").public("", "", "acknowledge")
    with pytest.raises(BatchFormatError, match="role 'acknowledge'"):
        Answer.from_json(replace(_answer(tmp_path), updates=other).to_json())


def test_the_same_is_told_anew_after_thirty_days_and_a_change_at_once() -> None:
    began = GOOD.at_ms // ANEW_MS * ANEW_MS
    first = replace(GOOD, at_ms=began)
    assert replace(first, at_ms=began + ANEW_MS - 1).digest == first.digest
    later = replace(first, at_ms=began + ANEW_MS)
    changed = replace(first, texts=(*TEXTS[:2], ("profiles/p.toml", "#")))
    assert len({first.digest, later.digest, changed.digest, first.without("too large").digest}) == 4
    assert all(0 <= one.digest < 1 << 60 for one in (first, later, changed))
    assert unpack(pack(changed.texts)) == changed.texts
