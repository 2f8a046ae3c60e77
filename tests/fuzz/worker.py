"""One process of a fuzzing run: `python -m tests.fuzz.worker ENGINE TARGET FOLDER SECONDS SEED`.

ENGINE `plain` mutates the seeds; `libfuzzer` (atheris) also keeps what reaches new code; `replay` runs each file of
FOLDER/suspects and FOLDER/corpus under the exact limits. All leave their figures and the last input in FOLDER.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz.mutator import MOST_BYTES, Mutator
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import Watch

NOTED: Final = 2.0  # seconds between two notes of the figures: libFuzzer does not come back at its end
LONG: Final = 0.004  # seconds of CPU, with sanitizers and the comparisons
HANG: Final = 20  # seconds of one input after which libFuzzer gives up


class Worker:
    """Feeds one target."""

    def __init__(self, target: str, folder: Path, watch: Watch) -> None:
        self.target = TARGETS[target]
        self.name = target
        self.folder = folder
        self.watch = watch
        self.start = self.noted = time.monotonic()
        self.seeds: list[bytes] = []
        self.open = (folder / "input").open("wb", buffering=0)
        self.begin()
        self.mutator = Mutator(self.seeds)

    def begin(self) -> None:
        """Run every seed; those that take long are not mutated, for a run is to see many inputs."""
        for data in seeds(self.name):
            start = time.thread_time()
            self.one(data)
            if time.thread_time() - start < LONG:
                self.seeds.append(data)

    def one(self, data: bytes) -> None:
        """One input; what it raises is a finding, and a crash leaves it in the file `input`."""
        self.open.seek(0)
        self.open.truncate()
        self.open.write(data)
        try:
            self.target(data, self.watch)
        except Exception:
            self.note()
            raise
        self.watch.input_done(data)
        if time.monotonic() - self.noted > NOTED:
            self.note()

    def note(self) -> None:
        """Leave the figures for whoever started this."""
        self.noted = time.monotonic()
        figures = self.watch.figures.as_dict() | {"seconds": self.noted - self.start}
        (self.folder / "figures.json").write_text(json.dumps(figures), encoding="utf-8")

    def mutate(self, data: bytes, seed: int) -> bytes:
        """Another input, in the way that fits the target."""
        how = self.mutator.mutate if self.name == "blocks" else self.mutator.mutate_plain
        return how(data, seed)


def plain(worker: Worker, seconds: float, seed: int) -> None:
    """Mutations of the seeds, and of their mutations, until the time is up."""
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = chance.choice(worker.seeds)
        for _ in range(chance.choice((1, 1, 1, 3))):
            data = worker.mutate(data, chance.getrandbits(32))
            worker.one(data)
    worker.note()


def libfuzzer(worker: Worker, seconds: float, seed: int) -> None:
    """Guided by coverage; the corpus stays in the folder for the next run. Does not come back."""
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    corpus = worker.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for index, data in enumerate(worker.seeds):
        (corpus / f"seed-{index:03}").write_bytes(data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        if seed % 4 == 0:
            return bytes(atheris.Mutate(data, most))
        return worker.mutate(data, seed)[:most]

    options = {
        "max_total_time": round(seconds),
        "seed": seed,
        "max_len": MOST_BYTES,
        "timeout": HANG,
        "rss_limit_mb": 0,  # the watch has a closer look
        "detect_leaks": 0,  # Python keeps what it has at its end
        "verbosity": 0,
        "artifact_prefix": f"{worker.folder}/crash-",
    }
    arguments = [sys.argv[0], str(corpus), *(f"-{name}={value}" for name, value in options.items())]
    atheris.Setup(arguments, worker.one, custom_mutator=mutate)
    worker.note()
    atheris.Fuzz()


def replay(worker: Worker, seconds: float, seed: int) -> None:
    """Each input found before; the seconds and the seed do not matter."""
    for folder in ("suspects", "corpus"):
        for path in sorted((worker.folder / folder).glob("*")):
            worker.one(path.read_bytes())
    worker.note()


ENGINES: Final[dict[str, Callable[[Worker, float, int], None]]] = {
    "plain": plain, "libfuzzer": libfuzzer, "replay": replay,
}  # fmt: skip


def main(engine: str, target: str, folder: str, seconds: str, seed: str) -> None:
    """Run one engine over one target."""
    place = Path(folder)
    suspects = None if engine == "replay" else place / "suspects"
    if suspects is not None:
        suspects.mkdir(parents=True, exist_ok=True)
    ENGINES[engine](Worker(target, place, Watch(suspects)), float(seconds), int(seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
