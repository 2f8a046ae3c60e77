"""Which devices and points are shown first where there is no room for all."""

_STATES = {"offline": 0, "suspect": 1, "unknown": 2, "online": 3}


def badness(state: str) -> int:
    """A key to sort devices by: the worst state first."""
    return _STATES.get(state, 0)


def point_badness(quality: str) -> int:
    """A key to sort points by: what is bad, then uncertain, then never seen, then good."""
    return next((n for n, word in enumerate(("bad", "uncertain", "none")) if quality.startswith(word)), 3)
