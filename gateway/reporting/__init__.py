"""How the agent tells of itself: the log, the journal, the lamp, metrics, its own points."""
