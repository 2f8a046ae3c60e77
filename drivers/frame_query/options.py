"""What a configuration or profile says of a protocol of questions and answers in frames."""

from pydantic import Field

from drivers.frame.options import FrameDevice, Hex
from drivers.port import SerialBus
from drivers.query.options import DEFAULT_TIMEOUT, Timeout

MAX_SEND = 256  # bytes: as of questions in lines


class FrameQueryBus(SerialBus):
    """`[buses.x]`: a serial port, and how long an answer may take."""

    timeout: Timeout = DEFAULT_TIMEOUT


class FrameQueryDevice(FrameDevice):
    """`[devices.x]`: a device that answers, or its profile: what is sent, and how the answer looks."""

    send: Hex = Field(min_length=1, max_length=MAX_SEND)
