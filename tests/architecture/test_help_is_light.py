from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "alembic",
    "asyncio",
    "kombu",
    "pydantic",
    "redis",
    "rich.table",
    "sqlalchemy",
    "psutil",
    "opentelemetry",
}

PROGRAM = """
import json, sys
from stem.cli.main import main
sys.argv = ["stem", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["worker", "--help"], ["dlq", "replay", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    imported = set(json.loads(done.stdout.splitlines()[-1]))

    assert imported & HEAVY == set()
