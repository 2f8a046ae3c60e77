"""Print a lock file of the wheels in a folder: each name and version, with the SHA-256 of every file of it.

python tools/lock.py FOLDER
"""

import hashlib
import re
import sys
from collections import defaultdict
from pathlib import Path


def main(folder: Path) -> None:
    """One requirement a distribution; two versions of one are a mistake."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for wheel in sorted(folder.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        found[re.sub(r"[-_.]+", "-", name).lower()][version].append(digest)
    print("# What `make deb` installs, and nothing else. Made by: tools/deb lock")  # noqa: T201 - its output
    for name, versions in sorted(found.items()):
        if len(versions) > 1:
            raise SystemExit(f"lamppost: {name} in two versions: {', '.join(versions)}")
        for version, digests in versions.items():
            hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(set(digests)))
            print(f"{name}=={version}{hashes}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
