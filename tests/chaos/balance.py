"""Whether the account balances, and the story of the first samples for which it does not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from buffer.keys import PublicKey
from ext import BAD, CLOCK, GOOD
from tests.chaos.account import (
    BOOTS,
    FORKS,
    GRACE_MS,
    OWN,
    RECEIVED,
    REFUSED,
    Account,
    Kept,
    Key,
    Window,
    kept,
    served,
    stored,
)
from tests.chaos.stored import Stored

NAMED = 5  # samples of each fault that are told with their story


class Balance:
    """One run's papers, read once; `account` compares them."""

    def __init__(self, folder: Path, database: Stored, windows: Sequence[Window]) -> None:
        self.account = Account()
        self._windows = windows
        self._served = served(folder / "served.ndjson")
        public = PublicKey.from_json((folder / "gateway.json").read_text())
        self._kept: Kept = kept(folder / "buffer.db", public, dict(database.rows(BOOTS)))
        self._stored: Counter[Key] = stored(database)
        self._received: dict[int, int] = dict(database.rows(RECEIVED))
        for reason, count in database.rows(REFUSED):
            self.account.faults.append(f"the collectors refused {count} messages: {reason}")
        for stream, number in database.rows(FORKS):
            self.account.faults.append(f"a fork of stream {stream} at batch {number}")
        self._sum()
        self._arrived()
        self._said()
        self._unsaid()

    def _sum(self) -> None:
        account, kept = self.account, self._kept
        account.served = len(self._served)
        account.ledgered = sum(entry.samples or 0 for entry in kept.ledger)
        account.unclean_stops = len(kept.unclean)
        kills = sum(window.loses_ms > 0 for window in self._windows)
        if account.unclean_stops != kills:
            account.faults.append(
                f"{kills} kills of the agent, and {account.unclean_stops} unclean stops in the ledger"
            )
        account.committed = kept.samples.total() + account.ledgered
        account.stored = self._stored.total()
        account.batches = len(self._received)

    def _arrived(self) -> None:
        """Each committed sample is stored once, or held; nothing else is stored."""
        missing, extra = self._kept.samples - self._stored, self._stored - self._kept.samples
        waiting = [key for key in missing if self._kept.batch[key] in (0, *self._kept.held)]
        lost = [key for key in missing if self._kept.batch[key] not in (0, *self._kept.held)]
        self.account.held = sum(missing[key] for key in waiting)
        self.account.lost = sum(missing[key] for key in lost)
        self.account.doubled = extra.total()
        self._tell("lost", lost)
        self._tell("stored more often than committed", extra)

    def _said(self) -> None:
        """Each good value that is committed or stored was served, when it says so, and is there once."""
        twice: Counter[tuple[str, str]] = Counter()
        for key in _good(self._kept.samples):
            twice[key.point, key.text] += self._kept.samples[key]
            when = self._served.get((key.point, key.text))
            if when is None:
                self._tell("no device served", [key])
            elif abs(when - key.utc_ms) > GRACE_MS and not self._away(when):
                self._tell(f"served {key.utc_ms - when} ms before its time", [key])
        self.account.faults += [f"committed {n} times: {who[0]} = {who[1]}" for who, n in twice.items() if n > 1]

    def _unsaid(self) -> None:
        """Each value that was served and never committed was lost in a fault of the agent, or came too late for it."""
        there = {(key.point, key.text) for key in _good(self._kept.samples)}
        late = defaultdict[str, list[int]](list)
        for key in self._kept.samples:
            if key.quality & BAD == BAD:
                late[key.point].append(key.utc_ms)
        for (point, text), when in self._served.items():
            if (point, text) in there:
                continue
            self.account.uncommitted += 1
            if not self._away(when) and not any(abs(when - bad) <= GRACE_MS for bad in late[point]):
                self.account.faults.append(f"served and never committed: {point} = {text} at {when}")

    def _away(self, utc_ms: int) -> bool:
        near = [w for w in self._windows if w.from_ms - w.loses_ms - GRACE_MS <= utc_ms <= w.to_ms + GRACE_MS]
        if all(window.loses_ms for window in near):
            return any(first - GRACE_MS <= utc_ms <= last + GRACE_MS for first, last in self._kept.unclean)
        return True

    # ---------------------------------------------------------------------------------------------------------------

    def _tell(self, what: str, keys: Iterable[Key]) -> None:
        for key in sorted(keys, key=lambda key: (key.utc_ms, key.point))[:NAMED]:
            self.account.faults.append(
                f"{what}: {key.point} = {key.text or '(no value)'} at {key.utc_ms}; {self._story(key)}"
            )

    def _story(self, key: Key) -> str:
        when = self._served.get((key.point, key.text))
        number = self._kept.batch.get(key)
        story = [f"quality {key.quality}", f"served at {when}" if when else "never served"]
        if number is None:
            story.append("not in the agent's store")
        else:
            story.append(f"batch {number}, acknowledged at {self._kept.acked.get(number)}")
            story.append(f"received at {self._received.get(number)}")
        story.append(f"stored {self._stored[key]} x")
        return ", ".join(story)


def _good(samples: Iterable[Key]) -> Iterable[Key]:
    return (key for key in samples if key.quality in (GOOD, CLOCK) and key.text and not key.point.startswith(OWN))
