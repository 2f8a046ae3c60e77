"""The samples of a batch as rows of a binary COPY. Knows nothing of psycopg."""

import json

from collector.tables.rows import Piece, value_row
from ext.pgcopy import pg_rows

COPY_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # PostgreSQL 15, COPY, "Binary Format": signature, flags, extension
COPY_END = b"\xff\xff"
NUL, SHOWN_NUL = "\0", "\u2400"  # a text with the first is told by `exact`, as JSON


def packed(piece: Piece, first_row: int) -> bytes:
    """The rows of a batch for COPY, without its head and end."""
    if piece.kept is not None:
        piece = piece.chosen()

    def hard(place: int) -> tuple[float | None, bytes | None, bytes | None]:
        value, exact, text = value_row(piece.columns, place)
        if text is not None and NUL in text:
            exact, text = json.dumps(text), text.replace(NUL, SHOWN_NUL)
        return value, None if exact is None else exact.encode(), None if text is None else text.encode()

    columns, ids = piece.columns, piece.ids
    return pg_rows(columns, ids.numbers, ids.ids, piece.offset, piece.number, first_row, piece.judged, hard)
