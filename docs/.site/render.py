"""Render the reference pages that are made from code, or check that they are current.

python docs/.site/render.py            writes them
python docs/.site/render.py --check    names those that differ, and fails
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stem import errors
from stem.cli.exit_codes import MEANINGS, exit_code
from stem.cli.main import stem
from stem.config import reference
from stem.observability import events
from stem.signals import reference as signals

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[1]

_CLI = """\
# Command line

Commands that read take `--json`. Standard output then holds one JSON document:

- a list: `{"schema": "stem.queue/1", "items": […], "next_cursor": …}`, where `--cursor` takes the last part;
- one thing: `{"schema": "stem.task/1", "item": {…}}`;
- an error: `{"error": {"code": …, "message": …, "hint": …}}`, with an [exit code](exit-codes.md).

In JSON, durations are seconds and times are RFC 3339 in UTC. Without `--json` a terminal gets a table, a pipe
gets lines with tabs; `NO_COLOR` switches colours off.

Durations are written as `500ms`, `10s`, `1h30m`, or seconds.

What changes something asks first. Where there is no terminal to ask at, it refuses unless `--yes` is given.

`stem worker …` without a command is `stem worker start …`.

Completion for bash: `eval "$(_STEM_COMPLETE=bash_source stem)"`; likewise `zsh_source` and `fish_source`.

Options of every command that connects; they may stand before the command's name or after it:
"""

_EXIT_CODES = """\
# Exit codes

Every command ends with one of these. The codes from 64 on are those of BSD's `sysexits.h`.

An error is one line on standard error, `stem: what: why; what to do`; several lines when several settings are
wrong. `--debug` prints the traceback before it.

| code | name | meaning | errors |
|---|---|---|---|
"""

_ERRORS = """\
# Errors

What Stem raises on purpose, from `stem.errors`. Each error keeps what it was told as attributes, survives
pickling, and says in `transient` whether the same call may succeed later, unchanged.

```text
{drawing}
```

| error | when | attributes | transient | exit code |
|---|---|---|---|---|
"""


def pages() -> dict[Path, str]:
    """Return the text of every rendered page, by its file."""
    return {
        DOCS / "reference" / "cli.md": cli_page(),
        DOCS / "reference" / "exit-codes.md": exit_codes_page(),
        DOCS / "reference" / "errors.md": errors_page(),
        DOCS / "reference" / "settings.md": reference.render(),
        DOCS / "reference" / "signals.md": signals.render(),
        DOCS / "reference" / "log-events.md": events.render(),
    }


def cli_page() -> str:
    """Render the command line from click's own tree."""
    root = click.Context(stem, info_name="stem")
    shared = {str(option.name) for option in stem.params if option.name != "version"}
    lines = [*_CLI.splitlines(), "", *_table([option for option in stem.params if option.name in shared])]
    for command, context in _walk(stem, root):
        lines += ["", *_section(command, context, shared)]
    return "\n".join(lines) + "\n"


def _walk(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _walk(command, inner)
        else:
            yield command, inner


def _section(command: click.Command, context: click.Context, shared: set[str]) -> list[str]:
    usage = " ".join([context.command_path, *filter(None, map(_argument, command.params))])
    options = [option for option in command.params if option.name not in shared | {"as_json"}]
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]
    lines = [f"## {context.command_path}", "", f"`{usage}`", ""]
    for paragraph in paragraphs:
        lines += [paragraph, ""]
    return [*lines, *_table(options)] if any(isinstance(one, click.Option) for one in options) else lines[:-1]


def _argument(parameter: click.Parameter) -> str:
    if not isinstance(parameter, click.Argument):
        return ""
    name = parameter.metavar or (parameter.name or "").upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _table(parameters: list[click.Parameter]) -> Iterator[str]:
    yield "| option | |"
    yield "|---|---|"
    for option in parameters:
        if isinstance(option, click.Option):
            names = ", ".join(f"`{name}`" for name in option.opts)
            shown = f"; {option.default} by default" if option.show_default else ""
            value = _value(option)
            yield f"| {names}{f' {value}' if value else ''} | {(option.help or '').rstrip('.')}{shown} |"


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if option.metavar:
        return option.metavar.replace("|", "\\|")
    if isinstance(option.type, click.Choice):
        return " \\| ".join(map(str, option.type.choices))
    return "N" if isinstance(option.type, click.IntRange) else option.type.name.upper().replace("_", " ")


def exit_codes_page() -> str:
    """Render the table of exit codes."""
    lines = _EXIT_CODES.splitlines()
    for code, meaning in MEANINGS.items():
        names = ", ".join(f"`{name}`" for name, cls in _error_classes().items() if exit_code(cls) is code)
        lines.append(f"| {code.value} | `{code.name}` | {meaning} | {names} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Render the tree of errors."""
    drawing = (errors.__doc__ or "").partition("\n\n")[2].rstrip()
    lines = _ERRORS.format(drawing=drawing).splitlines()
    for name, cls in _error_classes().items():
        when = re.sub(r"``(.+?)``", r"`\1`", (inspect.getdoc(cls) or "").partition("\n")[0])
        parameters = inspect.signature(cls.__init__).parameters.values()
        attributes = ", ".join(f"`{one.name}`" for one in parameters if one.kind is one.KEYWORD_ONLY)
        transient = "yes" if cls.transient else "no"
        lines.append(f"| `{name}` | {when} | {attributes} | {transient} | {exit_code(cls).value} |")
    return "\n".join(lines) + "\n"


def _error_classes() -> dict[str, type[errors.StemError]]:
    """Return the error classes in the order of the module."""
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.StemError)
    }


def main(*, check: bool) -> None:
    """Write the pages, or fail when one is not current."""
    rendered = pages()
    stale = [
        path
        for path, text in rendered.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if check and stale:
        names = ", ".join(str(path.relative_to(DOCS.parent)) for path in stale)
        raise SystemExit(f"not current: {names}; run `python docs/.site/render.py`")
    for path in stale:
        path.write_text(rendered[path], encoding="utf-8")


if __name__ == "__main__":
    main(check=sys.argv[1:] == ["--check"])
