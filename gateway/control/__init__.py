"""The daemon's two sockets, and all that is asked there."""
