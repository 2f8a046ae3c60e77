"""Texts of devices, files and other machines, made harmless for whatever shows them."""


def plain(text: object) -> str:
    """`text` on one line, with everything that could steer a terminal replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
