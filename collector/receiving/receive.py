"""From messages to tables and acknowledgements: verify, store in one transaction, and only then answer."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from buffer.header import ClockState
from buffer.keys import SigningKey
from collector.errors import Stopped, Unstorable
from collector.identity import keyrings
from collector.identity.registry import Keys
from collector.metrics import Metrics
from collector.receiving import acknowledge
from collector.receiving.acknowledge import Touched
from collector.receiving.aside import Aside
from collector.receiving.chain import Stream
from collector.receiving.derive import Deriver
from collector.receiving.follow import Followers
from collector.receiving.incoming import Accepted, Identity, Message, Reason, Refusal, examine
from collector.tables.database import Database
from collector.tables.rows import BatchRow

logger = logging.getLogger(__name__)

GROUP_MESSAGES = 256  # in one transaction
GROUP_BYTES = 512 << 10  # some 100,000 to 500,000 samples: a second or two, for an answer should not wait longer
GROUP_SAMPLES = 300_000  # in one transaction: a few bytes may be many samples
SETTLE_BATCHES = 4  # waiting batches that are decoded in one transaction, so that new ones need not wait long


@dataclass(frozen=True, slots=True)
class Reply:
    """A signed message and where it goes."""

    topic: str
    payload: bytes
    retain: bool = False


class Receiver:
    """Owns the database; used by one thread. Nothing it returns is about something not yet on the disk."""

    def __init__(
        self,
        database: Database,
        key: SigningKey,
        root: str,
        now_ms: Callable[[], int],
        metrics: Metrics | None = None,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._database = database
        self._db = database.connection
        self._key = key
        self._root = root
        self._now_ms = now_ms
        self._keys = Keys(database)
        self._aside = Aside(database)
        self._deriver = Deriver(database, self._keys)
        self._alarms: list[str] = []
        self._new: list[Accepted] = []
        self._refused: Counter[str] = Counter()
        self._stopping = False

    def take(self, messages: Sequence[Message]) -> list[Reply]:
        """Store a group of messages and return the answers, one for each stream.

        Raises DatabaseBusy or Stopped when not everything was stored: take the same group again later.
        """
        touched: dict[Stream, Touched] = {}
        rest = deque(messages)
        with self._database.errors():
            self._keys.refresh()
            while rest:
                self._store(rest, touched)
            return [reply for at, part in touched.items() if (reply := self._reply(at, part))]

    def keyrings(self) -> list[Reply]:
        """The keyring that each gateway was sent last, to be retained."""
        newest = keyrings.newest(self._database)
        return [Reply(f"{self._root}/v1/{site}/{name}/command", message, retain=True) for site, name, message in newest]

    def settle(self) -> int:
        """Decode some batches that lack nothing any more; return how many, 0 when there are none."""
        with self._database.errors():
            gateway = self._deriver.ready_gateway()
            if gateway is None:
                return 0
        try:
            with self._database.transaction([gateway]):
                return max(self._deriver.settle(SETTLE_BATCHES, gateway), 1)
        except BaseException:  # whatever undid the transaction: what was read within it is forgotten
            self._forget()
            raise

    def stop(self) -> None:
        """Let `take` and `settle` end soon, by raising Stopped with nothing stored; callable from any thread."""
        self._stopping = True

    def _store(self, rest: deque[Message], touched: dict[Stream, Touched]) -> None:
        """Take messages from the left, in one transaction, until there are none or it is large enough."""
        self._alarms.clear()
        self._new.clear()
        self._refused.clear()
        found = self._examine(rest)
        start = time.perf_counter()
        accepted = [one for _, one in found if isinstance(one, Accepted)]
        gateways = {one.identity.at.gateway for one in accepted}
        gateways |= {one.identity.at.gateway for _, one in found if isinstance(one, Refusal) and one.identity}
        try:
            with self._database.transaction(gateways):
                if self._keys.refresh():
                    self._deriver.forget()
                followers = Followers(self._database, self._deriver.samples, accepted, self._now_ms())
                for message, one in found:
                    if self._stopping:
                        raise Stopped("the collector stops")
                    self._take_one(message, one, followers, touched)
                self._flush(followers, touched)
        except BaseException:  # whatever undid the transaction: what was read within it is forgotten
            self._forget()
            raise
        self._count(time.perf_counter() - start)
        for alarm in self._alarms:
            logger.warning("%s", alarm)

    def _count(self, seconds: float) -> None:
        """What was committed."""
        metrics, now_ms = self.metrics, self._now_ms()
        for one in self._new:
            header = one.batch.header
            dated = header.samples and header.clock_state is not ClockState.UNSET
            lag = now_ms - header.last_ms - header.clock_ms if dated else None
            metrics.stored(header.samples, len(one.message.payload), lag)
        metrics.refused.update(self._refused)
        metrics.transactions += 1
        metrics.transaction_seconds += seconds

    def _examine(self, rest: deque[Message]) -> list[tuple[Message, Accepted | Refusal]]:
        """Verify messages from the left, before any lock is taken."""
        found: list[tuple[Message, Accepted | Refusal]] = []
        samples = 0
        while rest and samples < GROUP_SAMPLES:
            if self._stopping:
                raise Stopped("the collector stops")
            message = rest.popleft()
            try:
                accepted = examine(message, self._root, self._keys)
            except Refusal as refusal:
                found.append((message, refusal))
                continue
            samples += accepted.batch.header.samples
            found.append((message, accepted))
        return found

    def _take_one(
        self, message: Message, one: Accepted | Refusal, followers: Followers, touched: dict[Stream, Touched]
    ) -> None:
        if isinstance(one, Accepted) and followers.take(one):
            return
        identity = one.identity
        if identity is not None:
            self._flush(followers, touched)
            followers.leave(identity.at)
        if isinstance(one, Refusal):
            self._refuse(message, one, touched)
        else:
            self._take_alone(one, touched)

    def _flush(self, followers: Followers, touched: dict[Stream, Touched]) -> None:
        """Write what simply follows; what of it cannot be stored so is seen to one by one."""
        try:
            taken, heads = followers.flush()
        except Unstorable:
            self._deriver.forget()
            for one in followers.left():
                self._take_alone(one, touched)
            return
        for one in taken:
            self._touch(one, touched)
        self._new += taken
        for at, head in heads.items():
            if head.run == 1 and not head.wants:
                touched[at].head = head.newest, bytes.fromhex(head.hash)

    def _touch(self, accepted: Accepted, touched: dict[Stream, Touched]) -> None:
        identity = accepted.identity
        part = touched.setdefault(identity.at, Touched(accepted.key.site))
        part.answers = identity.number
        part.numbers.add(identity.number)
        part.head = None

    def _take_alone(self, accepted: Accepted, touched: dict[Stream, Touched]) -> None:
        try:
            if self._is_stored(accepted.identity, accepted):
                self.metrics.again += 1
            else:
                self._store_batch(accepted)
                self._new.append(accepted)
        except Refusal as refusal:
            self._deriver.forget()
            self._refuse(accepted.message, refusal, touched)
            return
        self._touch(accepted, touched)

    def _store_batch(self, accepted: Accepted) -> None:
        try:
            with self._database.savepoint():
                self._insert(accepted)
                self._deriver.enter(accepted)
                self._aside.release(accepted.identity)
        except Unstorable as error:
            detail = f"it cannot be stored: {error}"
            raise Refusal(Reason.CONTENT, detail, accepted.key, accepted.identity) from error

    def _is_stored(self, identity: Identity, accepted: Accepted) -> bool:
        """Say whether this batch is stored already; raises Refusal when another one has its place."""
        known = self._known_hash(identity)
        if known is not None and known != identity.hash:
            raise Refusal(Reason.FORK, f"number {identity.number} is known with hash {known}", accepted.key, identity)
        if acknowledge.is_forked(self._db, identity.at):
            raise Refusal(Reason.FORKED, "nothing is taken until an operator confirms", accepted.key, identity)
        row = self._db.execute(
            "SELECT 1 FROM batches WHERE gateway = ? AND stream = ? AND number = ?", _key(identity)
        ).fetchone()
        return row is not None

    def _known_hash(self, identity: Identity) -> str | None:
        row = self._db.execute(
            "SELECT hash FROM batches WHERE gateway = ?1 AND stream = ?2 AND number = ?3"
            " UNION SELECT hash FROM replaced WHERE gateway = ?1 AND stream = ?2 AND last = ?3",
            _key(identity),
        ).fetchone()
        return row[0] if row else None

    def _insert(self, accepted: Accepted) -> None:
        header, identity, now_ms = accepted.batch.header, accepted.identity, self._now_ms()
        self._db.execute(
            "INSERT INTO streams (gateway, stream, first_seen) VALUES (?, ?, ?)"
            " ON CONFLICT (gateway, stream) DO NOTHING",
            (identity.at.gateway, identity.at.stream, now_ms),
        )
        row = BatchRow(
            *_key(identity), identity.hash, header.previous.hex(), header.kind, header.boot.hex(), now_ms,
            accepted.message.payload,
        )  # fmt: skip
        self._database.add_batches([row])

    def _refuse(self, message: Message, refusal: Refusal, touched: dict[Stream, Touched]) -> None:
        identity, key = refusal.identity, refusal.key
        if identity is not None and refusal.reason not in {Reason.FORK, Reason.FORKED}:
            known = self._known_hash(identity)
            if known is not None and known != identity.hash:
                refusal = Refusal(Reason.FORK, f"number {identity.number} is known with hash {known}", key, identity)
        if refusal.reason is Reason.FORK and identity is not None:
            self._mark_forked(identity)
        self._refused[refusal.reason] += 1
        if self._aside.keep(message, refusal, self._now_ms()) and identity is not None:
            self._alarms.append(
                f"{identity.at.gateway} {identity.at.stream}: batch {identity.number} refused: {refusal}"
            )
        if identity is None or key is None or refusal.reason in {Reason.FORK, Reason.FORKED}:
            return  # an answer to a fork would reach the right one of the two as well
        part = touched.setdefault(identity.at, Touched(key.site))
        part.answers = identity.number
        part.refused[identity.number] = str(refusal)
        part.head = None

    def _mark_forked(self, identity: Identity) -> None:
        """Mark the stream, unless an operator confirmed it after this very batch had come before."""
        if self._aside.is_known(identity, Reason.FORK):
            return
        now_ms = self._now_ms()
        self._db.execute(
            "INSERT INTO streams (gateway, stream, first_seen) VALUES (?, ?, ?)"
            " ON CONFLICT (gateway, stream) DO NOTHING",
            (identity.at.gateway, identity.at.stream, now_ms),
        )
        marked = self._db.execute(
            "UPDATE streams SET forked_at = ?, forked_number = ?"
            " WHERE gateway = ? AND stream = ? AND forked_at IS NULL",
            (now_ms, identity.number, identity.at.gateway, identity.at.stream),
        )
        if marked.rowcount:
            self._alarms.append(
                f"{identity.at.gateway} {identity.at.stream}: FORKED at number {identity.number}: two stores claim one"
                " identity (a cloned card, a restored backup); nothing of it is acknowledged until"
                f" `lamppost-collector gateways confirm {identity.at.gateway}`"
            )

    def _reply(self, at: Stream, part: Touched) -> Reply | None:
        ack = acknowledge.build(self._db, at, part, self._now_ms())
        if ack is None:
            return None
        return Reply(f"{self._root}/v1/{part.site}/{at.gateway}/ack", ack.sign(self._key))

    def _forget(self) -> None:
        """Drop what was remembered of a transaction that is no more."""
        self._aside.forget()
        self._deriver.forget()


def _key(identity: Identity) -> tuple[str, str, int]:
    return identity.at.gateway, identity.at.stream, identity.number
