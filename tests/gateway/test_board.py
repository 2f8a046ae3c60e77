"""What of a board is read, from trees such as the kernel makes them in /sys."""

from pathlib import Path

import pytest

from buffer.board import moved
from gateway.identity import board

ETH0 = {"address": "dc:a6:32:0b:0c:0d", "addr_assign_type": "0", "type": "1"}
PI = b"10000000a1b2c3d4\0"  # as /proc/cpuinfo and the device tree of a Raspberry Pi have it, with its end


def interface(root: Path, name: str = "eth0", bus: str = "platform", **files: str) -> None:
    """One as in sysfs-class-net: a link to its device's folder."""
    device = root / f"sys/devices/{name}"
    folder = device / "net" / name
    folder.mkdir(parents=True)
    (root / f"sys/bus/{bus}").mkdir(parents=True, exist_ok=True)
    (root / "sys/class/net").mkdir(parents=True, exist_ok=True)
    (root / f"sys/class/net/{name}").symlink_to(f"../../devices/{name}/net/{name}")
    if bus:
        (device / "subsystem").symlink_to(f"../../bus/{bus}")
        (folder / "device").symlink_to("../..")
    for file, text in (ETH0 | files).items():
        (folder / file).write_text(f"{text}\n")


def serial(root: Path, number: bytes = PI) -> None:
    """The root node of a device tree."""
    file = root / board.SERIAL_NUMBER
    file.parent.mkdir(parents=True)
    file.write_bytes(number)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine with nothing in it."""
    monkeypatch.setattr(board, "ROOT", tmp_path)
    return tmp_path


def test_a_machine_that_says_nothing_is_no_board() -> None:
    assert board.read() == frozenset()


@pytest.mark.parametrize("bus", ["platform", "pci", "sdio"])
def test_an_interface_of_the_board_is_its_own(root: Path, bus: str) -> None:
    interface(root, bus=bus)
    (found,) = board.read()
    assert found.startswith("address:")
    assert "0b0c0d" not in found, "only a hash is kept"


@pytest.mark.parametrize(
    ("bus", "files"),
    [
        ("usb", {}),
        ("virtio", {}),
        ("vmbus", {}),
        ("", {}),
        ("pci", {"addr_assign_type": "1"}),
        ("pci", {"addr_assign_type": "3"}),
        ("pci", {"type": "772"}),
        ("platform", {"address": "02:00:00:00:00:01"}),
        ("platform", {"address": "52:54:00:12:34:56"}),
        ("platform", {"address": "01:00:5e:00:00:01"}),
        ("platform", {"address": "00:00:00:00:00:00"}),
        ("platform", {"address": "00:11:22"}),
        ("platform", {"address": "not one"}),
        ("platform", {"address": "\udcff"}),
        ("platform", {"address": ""}),
    ],
)
def test_what_may_change_says_nothing(root: Path, bus: str, files: dict[str, str]) -> None:
    text = {name: value.encode(errors="surrogateescape").decode("latin-1") for name, value in files.items()}
    interface(root, bus=bus, **text)
    assert board.read() == frozenset()


@pytest.mark.parametrize("number", [b"0000000000000000\0", b"\0", b""])
def test_a_serial_number_that_nobody_wrote_is_none(root: Path, number: bytes) -> None:
    serial(root, number)
    assert board.read() == frozenset()


def test_usb_and_names_change_nothing(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    serial(root)
    interface(root)
    before = board.read()
    assert {one.partition(":")[0] for one in before} == {"serial", "address"}
    interface(root, "eth1", "usb", address="00:e0:4c:01:02:03")
    (root / "sys/class/net/eth0").rename(root / "sys/class/net/enp1s0")
    assert board.read() == before


def test_another_board_is_another(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial(root)
    interface(root)
    before = board.read()
    other = tmp_path_factory.mktemp("other")
    monkeypatch.setattr(board, "ROOT", other)
    assert not moved(before, board.read()), "what cannot be read says nothing"
    interface(other, address="dc:a6:32:ff:ff:01")
    assert moved(before, board.read())
    serial(other)
    assert not moved(before, board.read()), "the serial number is surer than an interface that was changed"
