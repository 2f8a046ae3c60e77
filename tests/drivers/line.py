"""A pty for tests of drivers on a serial port: the driver gets the device file, the test the other end."""

import asyncio
import os
import termios
import tty

import pytest


class Line:
    """Bytes in any split, an end of the line, and the settings that the driver asked the port for."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(slave)
        os.close(slave)  # the driver alone holds it then, so closing the master hangs it up

    def send(self, data: bytes) -> None:
        """Say `data` to the driver."""
        os.write(self.master, data)

    def send_some(self, data: bytes) -> int:
        """Say as much of `data` as there is room for; how much. Raises `BlockingIOError` when there is none."""
        return os.write(self.master, data)

    async def heard(self, count: int) -> bytes:
        """Wait for `count` bytes from the driver."""
        data = b""
        while len(data) < count:
            try:
                data += os.read(self.master, count - len(data))
            except (BlockingIOError, OSError):  # EIO: nobody holds the other end yet
                await asyncio.sleep(0.001)
        return data

    def settings(self) -> tuple[int, int]:
        """The control flags and the output speed of termios(3) that the port has now."""
        _, _, flags, _, _, speed, _ = termios.tcgetattr(self.master)
        return flags, speed

    def unplug(self) -> None:
        """Hang up; safe to call twice."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def asked_settings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(control flags, output speed) of each tcsetattr: a pty takes eight bits and no parity, whatever is asked."""
    asked: list[tuple[int, int]] = []
    real = termios.tcsetattr

    def record(descriptor: int, when: int, attributes: list[object]) -> None:
        flags, speed = attributes[2], attributes[5]
        assert isinstance(flags, int)
        assert isinstance(speed, int)
        asked.append((flags, speed))
        real(descriptor, when, attributes)  # type: ignore[arg-type]

    monkeypatch.setattr(termios, "tcsetattr", record)
    return asked
