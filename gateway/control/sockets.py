"""Where the daemon's two sockets are: each in a folder whose group may enter it (docs/install.md)."""

from pathlib import Path


def status_socket(run_dir: Path) -> Path:
    """Reading: the group lamppost-view."""
    return run_dir / "view" / "status.sock"


def control_socket(run_dir: Path) -> Path:
    """Changing: the group lamppost-operate."""
    return run_dir / "operate" / "control.sock"
