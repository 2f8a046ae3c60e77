"""Any binary protocol as data: devices that answer with a frame when they are asked."""

from drivers.frame_query.driver import FrameQueryDriver as FrameQueryDriver
