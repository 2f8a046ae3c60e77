"""Signed load in a file, so that it can be sent, or taken, without the cost of making it.

A record: length of the topic in 2 bytes, of the message in 4, samples in 4, all big-endian; then topic and message.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.errors import FileDamaged
from gateway.simulate.lives import Signed

HEAD = struct.Struct(">HII")
MAX_MESSAGE = 2 << 20  # twice the largest batch


def write(path: Path, messages: Iterable[Signed]) -> tuple[int, int]:
    """Write messages; return how many, and how many samples."""
    count = samples = 0
    with path.open("wb") as file:
        for message in messages:
            topic = message.topic.encode()
            file.write(HEAD.pack(len(topic), len(message.payload), message.samples) + topic + message.payload)
            count, samples = count + 1, samples + message.samples
    return count, samples


def read(path: Path) -> Iterator[Signed]:
    """The messages of a file; raises FileDamaged where it is none."""
    with path.open("rb") as file:
        while head := file.read(HEAD.size):
            try:
                topic, payload, samples = HEAD.unpack(head)
            except struct.error as error:
                raise FileDamaged(f"{path}: ends within a record") from error
            if payload > MAX_MESSAGE:
                raise FileDamaged(f"{path}: a message of {payload} bytes")
            body = file.read(topic + payload)
            if len(body) < topic + payload:
                raise FileDamaged(f"{path}: ends within a record")
            yield Signed(body[:topic].decode(errors="replace"), body[topic:], samples)
