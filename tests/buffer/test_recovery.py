"""What an opening finds: an unclean stop, another boot or gateway, a damaged or foreign file, a second process."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from buffer import batch, chain
from buffer.database import PAGE_BYTES
from buffer.errors import StoreCorrupt, StoreError, StoreMismatch
from buffer.header import ClockState, LedgerEntry, Priority
from buffer.keys import PublicKey, SigningKey
from buffer.migrate import VERSION, ensure, stamp, versions_of
from buffer.reader import Reader
from buffer.store import Store, set_aside
from tests.buffer.support import BOOT, CLOCK, GATEWAY, OTHER_BOOT, SERIES, SIZE, Open, block


def crash(store: Store) -> None:
    """What a killed process leaves."""
    store._release()


def newest(store: Store, public: PublicKey) -> batch.Batch:
    return batch.decode(store.message(store.last_number), public)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("boot", [BOOT, OTHER_BOOT])
def test_blocks_of_an_earlier_life_are_sealed_as_they_are(
    store: Store, open_store: Open, public: PublicKey, clean: bool, boot: bytes
) -> None:
    store.commit([block(b"one"), block(b"two", fresh=False), block(b"loud", priority=Priority.CRITICAL)])
    store.close(clean=clean)
    again = open_store(boot=boot, now=2000)
    assert [held.number for held in again.held()] == [1, 2, 3]
    critical, normal = (batch.decode(again.message(n), public) for n in (2, 3))
    assert (critical.header.priority, critical.blocks) == (Priority.CRITICAL, (b"loud",))
    assert (normal.header.boot, normal.blocks) == (BOOT, (b"one", b"two"))
    assert bool(critical.header.ledger) is not clean


@pytest.mark.parametrize(("boot", "until"), [(BOOT, 9000), (OTHER_BOOT, None)])
def test_an_unclean_stop_is_in_the_ledger(
    store: Store, open_store: Open, public: PublicKey, boot: bytes, until: int | None
) -> None:
    store.commit([block(at=3000), block(at=7000, fresh=False)], seal=True)
    crash(store)
    again = open_store(boot=boot, now=9000)
    assert again.seal() == [3]
    expected = LedgerEntry(BOOT, 7000, until, CLOCK.clock_ms, CLOCK.state, None, "unclean stop")
    assert newest(again, public).header.ledger == (expected,)
    again.close()
    assert open_store(boot=boot).seal() == []


def test_an_unclean_stop_without_samples_begins_at_the_start(open_store: Open, public: PublicKey) -> None:
    crash(open_store(now=400))
    again = open_store(now=900)
    again.seal()
    assert newest(again, public).header.ledger == (
        LedgerEntry(BOOT, 400, 900, 0, ClockState.UNSET, None, "unclean stop"),
    )


def test_two_crashes_are_two_entries(store: Store, open_store: Open, public: PublicKey) -> None:
    crash(store)
    crash(open_store(now=100))
    again = open_store(now=200)
    again.seal()
    assert [(e.from_ms, e.to_ms) for e in newest(again, public).header.ledger] == [(0, 100), (100, 200)]


def test_pruning_does_not_forget_until_when_there_were_samples(
    store: Store, open_store: Open, public: PublicKey
) -> None:
    for at in range(40):
        store.commit([block(at=at)], seal=True)
    store.acknowledge_numbers(range(1, 42), 1)
    store.prune(1 << 60)
    crash(store)
    again = open_store(now=99)
    again.seal()
    assert newest(again, public).header.ledger[0].from_ms == 39


def test_another_gateways_store_is_refused(store: Store, open_store: Open) -> None:
    store.close()
    with pytest.raises(StoreMismatch, match="belongs to gateway 'gw-0017', not 'gw-0018'"):
        open_store(gateway="gw-0018")
    open_store()


def test_a_second_process_is_refused(store: Store, path: Path, tmp_path: Path) -> None:
    SigningKey.create(tmp_path / "key")
    code = (
        "import sys; from pathlib import Path; from buffer.store import Store; from buffer.keys import SigningKey;"
        f"Store.open(Path(sys.argv[1]), {GATEWAY!r}, SigningKey.load(Path(sys.argv[2])), bytes(16), size_limit={SIZE})"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "key")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert "StoreError: [Errno 11] another process has the store open" in done.stderr
    store.commit([block()])


def test_the_lock_is_given_back_when_opening_fails(path: Path, open_store: Open) -> None:
    good = path.read_bytes()
    path.write_bytes(b"no database")
    with pytest.raises(StoreCorrupt):
        open_store()
    path.write_bytes(good)
    open_store()


def test_a_missing_file_is_made(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "new.db"
    store = Store.open(path, GATEWAY, key, BOOT, size_limit=SIZE)
    assert store.assign(SERIES) == [1, 2]
    store.close()
    connection = sqlite3.connect(path)
    pragmas = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "journal_mode", "user_version")
    ]
    connection.close()
    assert pragmas == [PAGE_BYTES, "wal", VERSION]


def test_an_interrupted_making_is_made_good(path: Path) -> None:
    path.write_bytes(b"")
    ensure(path)
    assert versions_of(path) == (VERSION, VERSION)
    ensure(path)


def test_no_folder_is_a_clear_error(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(StoreError, match=r"No such file or directory: .*/absent/buffer\.db"):
        Store.open(tmp_path / "absent" / "buffer.db", GATEWAY, key, BOOT, size_limit=SIZE)


def foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (cake TEXT)")
    connection.close()


def test_another_programs_file_is_refused_and_left_alone(path: Path, open_store: Open) -> None:
    foreign(path)
    before = path.read_bytes()
    with pytest.raises(StoreMismatch, match=r"no store of this program; remedy: name another path"):
        open_store()
    assert path.read_bytes() == before


def test_a_newer_store_is_refused(path: Path, open_store: Open) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()
    with pytest.raises(StoreMismatch, match=f"version {VERSION + 1}, this program knows {VERSION}; remedy: install"):
        open_store()


def test_a_store_that_was_only_widened_by_a_newer_program_works(path: Path, store: Store, open_store: Open) -> None:
    """The version before must be able to run until the new one has proved itself: docs/decisions/0017-updates.md."""
    store.commit([block()])
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE newer (what TEXT)")
    connection.execute("CREATE INDEX newer_index ON batches (size)")
    connection.execute(f"PRAGMA user_version={stamp(VERSION + 1, VERSION)}")
    connection.close()
    again = open_store()
    again.commit([block()])
    assert again.seal(Priority.NORMAL) is not None
    again.close()
    with Reader(path):
        assert versions_of(path) == (VERSION + 1, VERSION)


@pytest.mark.parametrize("damage", [b"", b"x" * 100])
def test_a_damaged_file_is_refused_set_aside_and_replaced(
    store: Store, path: Path, open_store: Open, damage: bytes
) -> None:
    store.commit([block(bytes(5000))])
    store.close()
    kept = path.read_bytes()
    path.write_bytes(kept[: 16 if damage else 3000] + damage * 200 if damage else b"SQLite format 4\0" + kept[16:])
    broken = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="remedy: set the file aside") as caught:
        open_store()
    assert isinstance(caught.value, OSError)
    aside = set_aside(path)
    assert not path.exists()
    assert aside.read_bytes() == broken
    assert aside.name.startswith("buffer.db.20")
    fresh = open_store()
    assert fresh.stream != store.stream
    assert fresh.assign(SERIES) == [1, 2]


def test_setting_aside_takes_the_log_along_and_overwrites_nothing(path: Path) -> None:
    names = []
    for _ in range(3):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").write_bytes(b"x")
        names.append(set_aside(path))
        assert all(Path(f"{names[-1]}{suffix}").exists() for suffix in ("", "-wal", "-shm"))
    assert len(set(names)) == 3
    with pytest.raises(StoreError, match="cannot set aside"):
        set_aside(Path("/proc/version"))


def test_impossible_content_is_corruption(store: Store, path: Path, open_store: Open) -> None:
    store.commit([block()])
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE blocks SET clock_state = 77")
    connection.commit()
    connection.close()
    with pytest.raises(StoreCorrupt, match="impossible content"):
        open_store()


def test_an_altered_block_is_not_sent(store: Store, path: Path, public: PublicKey) -> None:
    store.commit([block(b"good")], seal=True)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE blocks SET data = x'66' WHERE data = ?", (b"good",))
    connection.commit()
    connection.close()
    with pytest.raises(StoreCorrupt, match="batch 2 is damaged"):
        store.message(2)
    report = chain.verify_store(path, public)
    assert [finding.number for finding in report.findings] == [2]


def test_opening_loads_no_sqlite_utils(path: Path, tmp_path: Path) -> None:
    SigningKey.create(tmp_path / "key")
    code = (
        "import sys; from pathlib import Path; from buffer.store import Store; from buffer.keys import SigningKey;"
        "import buffer.thread, buffer.reader, buffer.chain;"
        "key = SigningKey.load(Path(sys.argv[2]));"
        f"s = Store.open(Path(sys.argv[1]), {GATEWAY!r}, key, bytes(16), size_limit={SIZE});"
        "s.close(); sys.exit('sqlite_utils' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "key")]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env=dict(os.environ))
