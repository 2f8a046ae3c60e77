"""Any binary protocol as data: frames with a start, a length and a checksum."""

from drivers.frame.driver import FrameDriver as FrameDriver
