"""From the options of a bus to the client that serves it."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from drivers.base import Options
from drivers.errors import BusError
from drivers.modbus.ascii import AsciiFraming
from drivers.modbus.bus import AsciiBus, RtuBus, RtuOverTcpBus, TcpBus, TlsBus
from drivers.modbus.client import Client, LineClient, MbapClient, Timing
from drivers.modbus.rtu import RtuFraming, silence_ms
from drivers.modbus.serial_link import SerialLink
from drivers.modbus.tcp import TcpLink
from drivers.tap import Tap

ASCII_SILENCE_MS = 1.0  # LINE 2.5.2 wants none: a colon begins a frame; a device needs a moment to turn its line


def client(options: Options, tap: Tap | None = None) -> Client:
    """A client that is not open yet; `tap` is told all that goes over the bus."""
    if isinstance(options, RtuBus):
        silence = silence_ms(options.baud, options.byte_ms)
        return LineClient(SerialLink(options), RtuFraming(), _timing(options.byte_ms, silence, options.timeout), tap)
    if isinstance(options, AsciiBus):
        timing = _timing(options.byte_ms, ASCII_SILENCE_MS, options.timeout)
        return LineClient(SerialLink(options), AsciiFraming(), timing, tap)
    if isinstance(options, RtuOverTcpBus):
        link = TcpLink(options.host, options.port, options.timeout, options.connect_timeout)
        silence = silence_ms(options.baud, options.byte_ms)
        return LineClient(link, RtuFraming(), _timing(options.byte_ms, silence, options.timeout), tap)
    if isinstance(options, TcpBus):
        secure = partial(_context, options) if isinstance(options, TlsBus) else None
        name = options.server_name if isinstance(options, TlsBus) else None
        return MbapClient(
            TcpLink(options.host, options.port, options.timeout, options.connect_timeout, secure, name),
            options.timeout,
            tap,
        )
    raise TypeError(f"{type(options).__name__} are no options of a Modbus bus")


def _timing(byte_ms: float, silence: float, timeout: int) -> Timing:
    return Timing(byte_ms / 1000, silence / 1000, timeout / 1000)


def _context(options: TlsBus) -> ssl.SSLContext:
    """TLS 1.2 at least (TLS 5), and the server's name must be that in its certificate. Raises `BusError`."""
    with _reading(options.ca):
        context = ssl.create_default_context(cafile=None if options.ca is None else str(options.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.cert is not None and options.key is not None:
        with _reading(options.cert, options.key):
            context.load_cert_chain(str(options.cert), str(options.key))
    return context


@contextmanager
def _reading(*files: Path | None) -> Iterator[None]:
    """Name the files with what is wrong, which `ssl` does not."""
    try:
        yield
    except OSError as error:
        why = (error.reason or "no PEM file") if isinstance(error, ssl.SSLError) else os.strerror(error.errno or 0)
        raise BusError(f"cannot use {' with '.join(map(str, files))}: {why.replace('_', ' ').lower()}") from error
