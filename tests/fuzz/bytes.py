"""A script: the bytes that a fuzzer makes up, read as numbers."""


class Script:
    """Numbers out of bytes; zeros when they have run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.at += count
        return self.data[self.at - count : self.at].ljust(count, b"\0")

    def number(self, count: int) -> int:
        """The next bytes as a signed number."""
        return int.from_bytes(self.take(count), "big", signed=True)

    def below(self, most: int) -> int:
        """A number from 0 to below `most`, of one byte."""
        return self.take(1)[0] % most

    @property
    def ended(self) -> bool:
        """Whether all bytes were taken."""
        return self.at >= len(self.data)
