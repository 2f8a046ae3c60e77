"""Bad configurations as a technician writes them, with what the agent answers."""

from pathlib import Path

import pytest

from config import ConfigErrors, load

CASES = sorted((Path(__file__).parent / "cases").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer(case: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(case / "lamppost.toml", profiles=[case / "profiles"])
    told = str(caught.value).replace(f"{case}/", "") + "\n"
    assert told == (case / "expected.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer_is_fit_for_a_terminal(case: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(case / "lamppost.toml", profiles=[case / "profiles"])
    for problem in caught.value.problems:
        line = str(problem)
        assert line.isprintable()
        assert len(line) < 700
        assert "hunter2" not in line
        assert "hunter2" not in repr(problem)
