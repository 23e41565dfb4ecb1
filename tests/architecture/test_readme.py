from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def readme() -> str:
    return (CHECKOUT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The commands of the README's shell blocks, in order."""
    return [line for block in re.findall(r"```bash\n(.*?)```", readme(), re.S) for line in block.splitlines()]


def test_the_first_command_installs_stem_and_shows_it() -> None:
    assert commands()[0] == "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/stem demo"


def test_ci_runs_exactly_the_second_command() -> None:
    lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    assert [line.strip() for line in lines if ".venv" in line] == [commands()[1]]


def test_every_relative_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", readme())

    assert [link for link in links if not (CHECKOUT / link).exists()] == []
