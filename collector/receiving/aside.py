"""What is refused is kept aside with its reason, within bounds, and what falls out of the bounds is counted."""

from collector.receiving.incoming import MAX_TOPIC, Identity, Message, Reason, Refusal
from collector.tables.database import Database

UNSIGNED_ROWS = 10_000  # what anybody may send: the newest stay, enough for a day of a broken client
UNSIGNED_BYTES = 64 << 20
UNSIGNED_MESSAGE_BYTES = 128 << 10  # of one message: twice the usual batch; the reason tells the whole length
SIGNED_ROWS = 1000  # for each gateway: evidence, so the first ones stay
SIGNED_BYTES = 16 << 20
MAX_REASON = 500  # characters
RECOUNT = 1000  # messages: so far the count may be off when several collectors write to one database

_UNSIGNED = "NOT EXISTS (SELECT 1 FROM rejects WHERE aside = refused.id)"


class Aside:
    """Writes the tables `refused`, `refusals` and `rejects`, within the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._db = database.connection
        self.forget()

    def forget(self) -> None:
        """Count again what is kept: to be called when a transaction was rolled back."""
        self._counted = False
        self._rows = self._bytes = self._oldest = self._since = 0

    def keep(self, message: Message, refusal: Refusal, now_ms: int) -> bool:
        """Keep a message aside; say whether it is the first time. One with a valid signature is kept once."""
        identity = refusal.identity
        self._database.alone("refused")
        self._count(refusal.reason, now_ms)
        if identity is None:
            self._make_room(min(len(message.payload), UNSIGNED_MESSAGE_BYTES))
            self._insert(message, refusal, now_ms, message.payload[:UNSIGNED_MESSAGE_BYTES])
            return True
        if self._again(identity):
            return False
        if self._signed_full(identity.at.gateway, len(message.payload)):
            self._overflow(refusal.reason)
            return True
        aside = self._insert(message, refusal, now_ms, message.payload)
        self._db.execute(
            "INSERT INTO rejects VALUES (?, ?, ?, ?, ?, 1, ?)",
            (identity.at.gateway, identity.at.stream, identity.number, identity.hash, refusal.reason, aside),
        )
        return True

    def release(self, identity: Identity) -> None:
        """Forget that a message was refused, now that it is stored."""
        row = self._db.execute(
            "DELETE FROM rejects WHERE gateway = ? AND stream = ? AND number = ? AND hash = ? RETURNING aside",
            _key(identity),
        ).fetchone()
        if row is not None:
            self._db.execute("DELETE FROM refused WHERE id = ?", row)

    def is_known(self, identity: Identity, reason: Reason) -> bool:
        """Say whether this very message was refused for that reason before."""
        row = self._db.execute(
            "SELECT reason FROM rejects WHERE gateway = ? AND stream = ? AND number = ? AND hash = ?", _key(identity)
        ).fetchone()
        return row is not None and row[0] == reason

    def _again(self, identity: Identity) -> bool:
        changed = self._db.execute(
            "UPDATE rejects SET count = count + 1 WHERE gateway = ? AND stream = ? AND number = ? AND hash = ?",
            _key(identity),
        )
        return changed.rowcount > 0

    def _insert(self, message: Message, refusal: Refusal, now_ms: int, kept: bytes) -> int:
        reason = str(refusal)
        if len(kept) < len(message.payload):
            reason = f"{reason} (the first {len(kept)} of {len(message.payload)} bytes)"
        (row,) = self._db.execute(
            "INSERT INTO refused (received_at, topic, reason, bytes) VALUES (?, ?, ?, ?) RETURNING id",
            (now_ms, message.topic[:MAX_TOPIC], reason[:MAX_REASON], kept),
        ).fetchone()
        return int(row)

    def _count(self, reason: Reason, now_ms: int) -> None:
        self._db.execute(
            "INSERT INTO refusals VALUES (?, 1, 0, ?)"
            " ON CONFLICT (reason) DO UPDATE SET count = refusals.count + 1, last_at = excluded.last_at",
            (reason, now_ms),
        )

    def _overflow(self, reason: str) -> None:
        self._db.execute("UPDATE refusals SET overflow = overflow + 1 WHERE reason = ?", (reason,))

    def _signed_full(self, gateway: str, size: int) -> bool:
        rows, kept = self._db.execute(
            "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM rejects JOIN refused ON refused.id = aside"
            " WHERE gateway = ?",
            (gateway,),
        ).fetchone()
        return bool(rows >= SIGNED_ROWS or kept + size > SIGNED_BYTES)

    def _make_room(self, size: int) -> None:
        self._since += 1
        if not self._counted or self._since >= RECOUNT:
            self._counted, self._since, self._oldest = True, 0, 0
            self._rows, self._bytes = self._db.execute(
                f"SELECT count(*), coalesce(sum(length(bytes)), 0) FROM refused WHERE {_UNSIGNED}"  # noqa: S608
            ).fetchone()
        while self._rows and (self._rows >= UNSIGNED_ROWS or self._bytes + size > UNSIGNED_BYTES):
            if not self._drop_oldest():
                break
        self._rows += 1
        self._bytes += size

    def _drop_oldest(self) -> bool:
        """Say whether there was one; another collector that writes here has dropped its share."""
        row = self._db.execute(
            "SELECT id, reason, length(bytes) FROM refused"  # noqa: S608
            f" WHERE id > ? AND {_UNSIGNED} ORDER BY id LIMIT 1",
            (self._oldest,),
        ).fetchone()
        if row is None:
            self.forget()
            return False
        self._oldest, reason, size = row
        self._db.execute("DELETE FROM refused WHERE id = ?", (self._oldest,))
        self._overflow(reason.partition(":")[0])
        self._rows -= 1
        self._bytes -= size
        return True


def _key(identity: Identity) -> tuple[str, str, int, str]:
    return identity.at.gateway, identity.at.stream, identity.number, identity.hash
