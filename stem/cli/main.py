"""The ``stem`` command, and the only place where errors become exit codes."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from stem.cli.connection import connects
from stem.cli.exit_codes import ExitCode, explain
from stem.cli.output import print_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS: Final = {
    "demo": ("stem.cli.demo.command:demo", "Run the main job on real files, with failures made on purpose."),
    "worker": ("stem.cli.worker:worker", "Run workers and look at them."),
    "tasks": ("stem.cli.tasks:tasks", "List an application's tasks and call them."),
    "observe": ("stem.cli.observe:observe", "Look at queues, tasks and workers."),
    "dlq": ("stem.cli.dlq:dlq", "Look into the dead letters, put them back, delete them."),
    "config": ("stem.cli.config:config", "Look at the settings."),
}
"""Where each command is defined, and what the help says; it is imported when it is asked for."""


class StemGroup(click.Group):
    """The root command: finds commands lazily and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and end the process with its exit code.

        With ``standalone_mode`` off it returns and raises instead, as any click command.
        """
        arguments = list(sys.argv[1:] if args is None else args)
        run = partial(super().main, arguments, prog_name, complete_var, standalone_mode=False, **extra)
        return run() if not standalone_mode else _end_with(run, arguments)


def _end_with(run: Callable[[], object], arguments: Sequence[str]) -> NoReturn:
    try:
        code = run()
    except Exception as error:  # noqa: BLE001 - the edge: every error ends here as one line and a code
        code = _report(error, arguments)
    sys.exit(code if isinstance(code, int) else ExitCode.OK)


def _report(error: Exception, arguments: Sequence[str]) -> ExitCode:
    if "--debug" in arguments:
        import traceback

        traceback.print_exception(error)
    explanation = explain(error)
    print_error(explanation, as_json="--json" in arguments)
    return explanation.exit_code


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    import platform
    from importlib.metadata import version

    click.echo(f"stem {version('stem-tasks')} (Python {platform.python_version()}, Kombu {version('kombu')})")
    ctx.exit()


@click.group(
    cls=StemGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 timeout, 5 partly done, 64 configuration, "
    "69 broker or store unavailable, 70 internal, 75 try again later, 77 denied, 130 interrupted.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version.",
)
@connects
def stem() -> None:
    """Run workers, publish tasks, and look into queues."""


def main() -> None:
    """Run ``stem`` with the arguments of this process, and end it."""
    stem.main(prog_name="stem")
