"""A text from outside as a cell of a table that a spreadsheet may open."""

FORMULA = "=+-@'\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
"""A spreadsheet takes a cell that begins so for a formula (OWASP, CSV Injection); the apostrophe is the cure itself."""


def cell(text: str) -> str:
    r"""A text for a spreadsheet: the unprintable as `\n` or `\u001b`, an apostrophe before what would be a formula."""
    shown = "".join(c if c.isprintable() and c != "\\" else _escaped(c) for c in text)
    return f"'{shown}" if shown.startswith(tuple(FORMULA)) else shown


def _escaped(character: str) -> str:
    known = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    code = ord(character)
    return known.get(character, f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
