"""Numbers that never go back, though the file that they belong to was lost: of keyrings and configurations.

Each function takes the store's connection: `Store.ask` to read, `Store.change` or `Store.commit(also=)` to write.
"""

import sqlite3

CONFIGURATION = "configuration"


def keyring(authority: bytes) -> str:
    """The name of the numbers of an authority's keyrings, by its key id: a new authority begins anew."""
    return f"keyring/{authority.hex()}"


def floor(connection: sqlite3.Connection, name: str) -> int:
    """The highest number that was taken; 0 before the first."""
    row = connection.execute("SELECT number FROM floors WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def lift(connection: sqlite3.Connection, name: str, number: int) -> None:
    """`number` is taken; a lower one than the highest changes nothing."""
    query = "INSERT INTO floors VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = max(number, excluded.number)"
    connection.execute(query, (name, number))
