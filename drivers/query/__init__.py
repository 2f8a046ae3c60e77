"""Any ASCII protocol as data: devices that answer with lines when they are asked."""

from drivers.query.driver import QueryDriver as QueryDriver
