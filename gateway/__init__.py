"""The daemon on the box and its command line: acquire, keep, deliver."""

VERSION = "0.1.0"
