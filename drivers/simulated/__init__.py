"""Devices that are not there, for the demo and the tests; they keep their own account of every value they said."""
