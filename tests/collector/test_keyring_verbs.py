"""The keyring as people make it: the source, what is signed of it, and what is refused."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffer.keyring import FOREVER, Keyring
from buffer.keys import PublicKey
from collector.errors import KeyringFault
from collector.identity import ringsource
from tests.collector.commanding import Person, call, data, person

PUBLIC = "ab" * 32


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    """An authority, an operator and a collector."""
    folder = tmp_path_factory.mktemp("people")
    roles = {"authority": "authority", "anna": "command", "collector": "acknowledge"}
    return {name: person(folder, name, role) for name, role in roles.items()}


@pytest.fixture
def source(tmp_path: Path, people: dict[str, Person]) -> Path:
    """A source with an operator and a collector."""
    file = tmp_path / "keyring.toml"
    call("keyring", "new", file)
    for name, scope in (("anna", "nord/gw-0017/lamp7"), ("collector", "*")):
        given = ("--name", name, "--scope", scope, "--until", "2099-12-31")
        call("keyring", "add", file, people[name].public, *given)
    return file


def signed(source: Path, people: dict[str, Person], *more: object, code: int = 0, text: str | None = None) -> str:
    key, target = people["authority"].private, source.with_name("keyring.cose")
    return call("keyring", "sign", source, "--key", key, "-o", target, *more, code=code, text=text)[1]


def test_from_source_to_gateway(source: Path, people: dict[str, Person]) -> None:
    signed(source, people, "--number", 5, "--yes")
    ring = Keyring.read(source.with_name("keyring.cose").read_bytes(), people["authority"].key)
    anna, collector = ring.keys
    assert (ring.number, anna.name, anna.role, anna.raw) == (5, "anna", "command", people["anna"].key.raw)
    assert anna.scopes == (("nord", "gw-0017", "lamp7"),)
    assert anna.ends_ms == dt.datetime(2100, 1, 1, tzinfo=dt.UTC).timestamp() * 1000
    assert (collector.role, collector.scopes) == ("acknowledge", (("*",),))
    shown = data("keyring", "show", source.with_name("keyring.cose"), "--authority", people["authority"].public)
    assert shown == data("keyring", "show", source)
    assert shown[0]["until"] == "2100-01-01 00:00:00.000"


def test_it_is_asked_before_anything_is_signed(source: Path, people: dict[str, Person]) -> None:
    target = source.with_name("keyring.cose")
    for answer in ("n\n", ""):
        said = signed(source, people, "--number", 5, text=answer, code=77)
        assert "anna" in said
        assert "nord/gw-0017/lamp7" in said
        assert not target.exists()
    signed(source, people, "--number", 5, text="y\n")
    assert target.exists()


def test_numbers_only_rise(source: Path, people: dict[str, Person]) -> None:
    assert "needs its --number" in signed(source, people, "--yes", code=65)
    signed(source, people, "--number", 5, "--yes")
    before = source.with_name("keyring.cose").read_bytes()
    for number in (4, 5):
        assert "not above 5" in signed(source, people, "--number", number, "--yes", code=65)
    assert source.with_name("keyring.cose").read_bytes() == before
    call("keyring", "remove", source, "anna")
    said = signed(source, people, "--yes")
    assert "- anna (command)" in said
    assert Keyring.read(source.with_name("keyring.cose").read_bytes(), people["authority"].key).number == 6


def test_doubts_are_said(tmp_path: Path, people: dict[str, Person]) -> None:
    file = tmp_path / "keyring.toml"
    call("keyring", "new", file)
    call("keyring", "add", file, people["anna"].public, "--name", "anna", "--scope", "*", "--until", "2020-01-01")
    said = signed(file, people, "--number", 1, "--yes")
    assert "anna (command) has ended already" in said
    assert "no key acknowledges" in said


def test_another_authority_is_found_out(source: Path, people: dict[str, Person], tmp_path: Path) -> None:
    signed(source, people, "--number", 5, "--yes")
    other = person(tmp_path, "other", "authority")
    said = call("keyring", "show", source.with_name("keyring.cose"), "--authority", other.public, code=65)[1]
    assert "not a keyring of the authority" in said
    assert "role 'command'" in call("keyring", "show", source, "--authority", people["anna"].public, code=65)[1]


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    file = tmp_path / "keyring.toml"
    blocks = {
        name: f'[[key]]  # of {name}\nname = "{name}"\nrole = "command"\npublic_key = "{letter * 64}"\n'
        f'scopes = [\n    "nord",  # all of it\n]\nuntil = "never"\n'
        for name, letter in (("anna", "a"), ("otto", "b"), ("ida", "c"))
    }
    file.write_text(f"# ours\n{blocks['anna']}\n# second\n{blocks['otto']}\n# third\n{blocks['ida']}# the end\n")
    (gone,) = ringsource.remove(file, "otto")
    assert (gone.name, gone.ends_ms) == ("otto", FOREVER)
    assert file.read_text() == f"# ours\n{blocks['anna']}\n# second\n\n# third\n{blocks['ida']}# the end\n"
    ringsource.remove(file, "ida")
    assert file.read_text() == f"# ours\n{blocks['anna']}\n# second\n\n# third\n# the end\n"


def test_what_cannot_be_changed_by_program_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "keyring.toml"
    row = f'name = "anna", role = "command", public_key = "{PUBLIC}", scopes = ["*"], until = "never"'
    text = f"key = [{{ {row} }}]\n"
    file.write_text(text)
    with pytest.raises(KeyringFault, match="by hand"):
        ringsource.remove(file, "anna")
    assert file.read_text() == text


GOOD = {"name": '"a"', "role": '"command"', "public_key": f'"{PUBLIC}"', "scopes": '["nord"]', "until": "2027-12-31"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"role": '"authority"'}, "not 'authority'"),
        ({"role": '"batch"'}, "not 'batch'"),
        ({"public_key": '"ABCD"'}, "64 digits"),
        ({"scopes": "[]"}, "1 to 32 scopes"),
        ({"scopes": '["a/b/c/d/e"]'}, "a scope is"),
        ({"scopes": '"*"'}, "array of texts"),
        ({"until": "2027-12-31T10:00:00"}, "needs its zone"),
        ({"until": '"soon"'}, "until is 2027-12-31"),
        ({"until": "12"}, "until is 2027-12-31"),
        ({"until": "10:00:00"}, "until is 2027-12-31"),
        ({"until": "1066-10-14"}, "out of range"),
        ({"name": '""'}, "name of a key"),
        ({"name": "7"}, "are texts"),
        ({"nmae": '"x"'}, "unknown fields: nmae"),
        ({"until": None}, "lacks until"),
    ],
)
def test_what_is_no_key(changed: dict[str, str | None], message: str) -> None:
    fields = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    with pytest.raises(KeyringFault, match=message):
        ringsource.parse("[[key]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items()))


@pytest.mark.parametrize(
    ("text", "message"),
    [("key = 1", "tables"), ("[other]", "unknown: other"), ("[[key", "at end of document"), ("key = [1]", "tables")],
)
def test_what_is_no_source(text: str, message: str) -> None:
    with pytest.raises(KeyringFault, match=message):
        ringsource.parse(text)


def test_nothing_stands_twice() -> None:
    block = "[[key]]\n" + "".join(f"{name} = {value}\n" for name, value in GOOD.items())
    for second in (block, block.replace('"a"', '"b"'), block.replace("ab", "cd")):
        with pytest.raises(KeyringFault, match="twice"):
            ringsource.parse(block + second)
    assert len(ringsource.parse(block + block.replace("command", "configure"))) == 2


def test_an_end_with_its_zone() -> None:
    ends = [ringsource.parse_until(text) for text in ("1970-01-01T02:00:00+01:00", "1970-01-01", "never")]
    assert ends == [3_600_000, 86_400_000, FOREVER]


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5, unique=True),
    until=st.sampled_from(["never", "2099-12-31", "2099-12-31T18:00:00+02:00"]),
)
def test_what_is_added_and_removed_again_leaves_the_file_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], until: str
) -> None:
    file = tmp_path_factory.mktemp("source") / "keyring.toml"
    ringsource.create(file)
    states = []
    for count, name in enumerate(names):
        states.append(file.read_text())
        key = PublicKey.of(bytes([count]) * 32, "command")
        try:
            ringsource.add(file, name, key, ["nord"], until)
        except KeyringFault:  # what TOML cannot say is refused, and nothing was written
            assert file.read_text() == states.pop()
    for state, added in zip(states[::-1], ringsource.load(file)[::-1], strict=True):
        assert [gone.name for gone in ringsource.remove(file, added.name)] == [added.name]
        assert file.read_text().strip() == state.strip()
