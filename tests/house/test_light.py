"""The command line is quick to answer: heavy packages are loaded by the verb that needs them."""

import importlib
import json
import resource
import subprocess
import sys

import pytest

HEAVY = (
    "pydantic", "bleak", "pymodbus", "serial", "sqlite_utils", "aiomqtt", "cryptography", "cbor2", "rich.table",
    "starlette", "uvicorn", "segno",
)  # fmt: skip
FEW = ("sqlite_utils", "rich", "astral", "starlette", "uvicorn", "difflib", "gateway.northbound.outlet")
PROGRAM = """
import importlib, sys
sys.argv[0] = "x"
try:
    importlib.import_module({module!r}).main()
except SystemExit as end:
    assert not end.code, end
print("loaded:", *sorted(set(sys.modules) & set({heavy!r})))
"""


@pytest.mark.parametrize("module", ["gateway.cli", "collector.cli"])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_nothing_heavy(module: str, option: str) -> None:
    program = PROGRAM.format(module=module, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program, option], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("module", ["gateway.agent", "collector.receiving.incoming"])
def test_the_processes_that_run_for_years_load_nothing_that_few_need(module: str) -> None:
    program = f"import sys, {module}; print(*sorted(set(sys.modules) & set({FEW!r})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


CPU_S = 0.15
"""What `lamppost --help` may take of one core; on a Pi it is some five times that."""
SILENT = "--run-dir=/nowhere"
ASKING = {
    "status": (), "tail": (), "queue": (), "metrics": (), "commands": (), "lock": ("a", "--reason", "b"),
    "unlock": ("a",), "maintenance": ("a",), "write": ("a/b", "1", "--yes"), "read": ("a",),
}  # fmt: skip
"""Verbs that do nothing but ask the agent: they need neither models nor keys, nor tables before there is an answer."""
FORKING = """
import importlib, json, os, sys
module, verbs = sys.argv[1], json.loads(sys.argv[2])
group = importlib.import_module(module)
for words in verbs:
    sys.stdout.flush()
    if not os.fork():
        sys.argv[:] = ["x", *words]
        devnull = os.open(os.devnull, os.O_WRONLY)
        out = os.dup(1)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        try:
            group.main()
        except SystemExit as end:
            sys.stdout.flush()
            os.dup2(out, 1)
            print(words[0], end.code, *sorted(set(sys.modules) & set({heavy!r})), flush=True)
        os._exit(0)
    os.wait()
"""


def _loaded(module: str, verbs: list[list[str]]) -> dict[str, list[str]]:
    """Exit code and heavy modules of each verb, each in a process of its own."""
    program = FORKING.replace("{heavy!r}", repr(HEAVY))
    words = [sys.executable, "-c", program, module, json.dumps(verbs)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("module", ["gateway.cli", "collector.cli"])
def test_the_help_of_no_verb_loads_anything_heavy(module: str) -> None:
    verbs = importlib.import_module(module).VERBS
    found = _loaded(module, [[verb, "--help"] for verb in verbs])
    assert found == {verb: ["0"] for verb in verbs}


def test_a_verb_that_asks_the_agent_loads_nothing_heavy() -> None:
    found = _loaded("gateway.cli", [[verb, *words, SILENT] for verb, words in ASKING.items()])
    assert found == {verb: ["69"] for verb in ASKING}


@pytest.mark.parametrize("command", ["gateway", "collector"])
def test_help_is_there_at_once(command: str) -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", command, "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert (
        min(seconds() for _ in range(5)) <= CPU_S
    )  # others' work on this machine costs time of the clock, not of ours
