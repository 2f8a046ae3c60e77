"""The command line is quick to answer: heavy packages are loaded by the verb that needs them."""

import subprocess
import sys

import pytest

HEAVY = ("pydantic", "bleak", "pymodbus", "serial", "sqlite_utils", "aiomqtt", "cryptography", "cbor2", "rich.table")
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


@pytest.mark.parametrize("module", ["gateway.agent", "collector.incoming"])
def test_the_processes_that_run_for_years_load_nothing_that_few_need(module: str) -> None:
    program = f"import sys, {module}; print(*sorted(set(sys.modules) & {{'sqlite_utils', 'rich', 'astral'}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
