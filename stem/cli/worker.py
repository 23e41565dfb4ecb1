"""``stem worker``: run tasks, and look at those who do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from stem.cli.connection import connects, opened_app, target
from stem.cli.output import json_option
from stem.cli.parameters import duration, gathered, split_names
from stem.config.settings import LogLevel, Pool

if TYPE_CHECKING:
    from datetime import timedelta

START: Final = "start"


class WorkerGroup(click.Group):
    """``stem worker -c 4`` means ``stem worker start -c 4``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the missing ``start`` where no command is named."""
        names_a_command = any(arg in self.commands for arg in args)
        asks_for_help = len(args) == 1 and args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if names_a_command or asks_for_help else [START, *args])


@click.group(
    cls=WorkerGroup,
    no_args_is_help=False,
    epilog="Without a command: start, with the options of `stem worker start --help`.",
)
@connects
def worker() -> None:
    """Run workers and look at them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Settings that the command line gives for this worker alone; None fields are left as they are."""

    concurrency: int | None
    pool: str | None
    max_tasks_per_child: int | None
    log_level: str | None
    hard_time_limit: timedelta | None
    soft_time_limit: timedelta | None
    shutdown_grace: timedelta | None

    def given(self) -> dict[str, Any]:
        """Return what was given, by the setting's name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


@worker.command(name=START)
@gathered(
    Overrides,
    "overrides",
    click.option("-c", "--concurrency", type=click.IntRange(min=1), help="How many tasks to run at once."),
    click.option("-P", "--pool", type=click.Choice(get_args(Pool)), help="How to run them."),
    click.option(
        "--max-tasks-per-child",
        type=click.IntRange(min=1),
        help="Replace a child process after this many tasks.",
    ),
    click.option(
        "-l",
        "--loglevel",
        "log_level",
        type=click.Choice(get_args(LogLevel), case_sensitive=False),
        help="The least important events to log.",
    ),
    click.option("--time-limit", "hard_time_limit", type=duration, help="Kill a task that runs longer."),
    click.option("--soft-time-limit", type=duration, help="Tell a task that runs longer, by an exception."),
    click.option(
        "--shutdown-grace", type=duration, help="How long running tasks get when the worker is to stop."
    ),
)
@click.option(
    "-Q",
    "--queues",
    multiple=True,
    callback=split_names,
    metavar="NAMES",
    help="Queues to serve, with commas.",
)
@click.option(
    "-n",
    "--hostname",
    "--name",
    "name",
    metavar="NAME[@HOST]",
    help="The worker's id; %h is the host, %p the process.",
)
@connects
def start(*, overrides: Overrides, queues: tuple[str, ...], name: str | None) -> int:
    """Run tasks until told to stop.

    SIGTERM: take no more tasks, give back what has not started, finish the rest.
    Ctrl-C, or a second SIGTERM: interrupt the running tasks and give them back.
    Once more, or SIGQUIT: kill them and give them back.
    """
    from stem.observability.logging import configure_logging

    with opened_app(needs_tasks=True, overrides=overrides.given()) as app:
        level = app.settings.log_level
        configure_logging(level)
        return app.worker(queues=queues, name=name, app_path=target().app_path, log_level=level).run()


@worker.command()
@connects
@json_option
def status(*, as_json: bool) -> None:
    """Show the last heartbeat of every live worker."""
    from stem.cli.observe import print_workers

    print_workers(as_json=as_json)
