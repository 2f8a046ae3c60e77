"""Which configuration runs, what it comes to with its drivers, and how another takes its place."""
