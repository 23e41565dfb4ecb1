"""Render the reference page of the settings from their declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stem.config.settings import DECLARATIONS, OTHER_VARIABLES

if TYPE_CHECKING:
    from stem.config.settings import Declaration

_INTRODUCTION: Final = """\
# Settings

Every setting has one name. It is given, from the strongest source to the weakest, as

1. an argument: `Stem(broker_url="redis://localhost:6379/0")`;
2. an environment variable: `STEM_BROKER_URL=redis://localhost:6379/0` (an empty one counts as absent);
3. a line in `stem.toml`: `broker_url = "redis://localhost:6379/0"`;
4. a line in the table `[tool.stem]` of `pyproject.toml`;
5. the default below.

The two files are looked for in the working directory and then in its parents; the first directory that has
settings is the only one read. Settings are read once, at start.

Durations are written as `500ms`, `10s`, `1h30m` or `7d`; a number alone counts seconds. Where a setting may
be `none`, that word is its value in the environment and in files, and `None` in Python. Lists are separated
by commas in the environment.

A name that is not listed here is an error. So is an environment variable that starts with `STEM_` and is not
listed, except `STEM_APP` (the command line's `-A`), `STEM_TEST_*`, and what Kubernetes sets for services
called `stem` or `stem-…`.
"""


def render() -> str:
    """Return the page, in Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(one) for one in DECLARATIONS.values()), _other_variables()])


def _other_variables() -> str:
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in OTHER_VARIABLES.items())
    return f"""\
## Other environment variables

| variable | meaning |
|---|---|
{rows}
"""


def _section(one: Declaration) -> str:
    default = f"`{one.write(one.default)}`" if one.default != () else "empty"
    if one.default is None:
        default += f" ({one.none})"
    name = one.kind.name.replace("|", "\\|")
    kind = f"{name}, or `none`: {one.none}" if one.none else name
    return f"""\
## {one.name}

{one.help}

| | |
|---|---|
| environment | `{one.variable}` |
| value | {kind} |
| expected | {one.kind.expected} |
| default | {default} |
"""
