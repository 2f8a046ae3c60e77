"""What the installation is: TOML files loaded, merged and checked, all problems told at once."""

from config.editor import json_schema
from config.errors import ConfigError, ConfigErrors, Problem
from config.loader import load, load_copy
from config.models import Buffer, Bus, Config, Device, Gateway, Profile, ProfileTest
from config.point import Counter, Limits, Point, Report
from config.problems import explain
from config.profile import Shelf, load_profile
from config.units import format_duration, format_size, parse_duration, parse_size
from config.uplink import Broker, Budget, Proxy, Span, Tls, Uplink
from config.writable import Condition, Rate, Writable

__all__ = [
    "Broker",
    "Budget",
    "Buffer",
    "Bus",
    "Condition",
    "Config",
    "ConfigError",
    "ConfigErrors",
    "Counter",
    "Device",
    "Gateway",
    "Limits",
    "Point",
    "Problem",
    "Profile",
    "ProfileTest",
    "Proxy",
    "Rate",
    "Report",
    "Shelf",
    "Span",
    "Tls",
    "Uplink",
    "Writable",
    "explain",
    "format_duration",
    "format_size",
    "json_schema",
    "load",
    "load_copy",
    "load_profile",
    "parse_duration",
    "parse_size",
]
