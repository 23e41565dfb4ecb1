"""Find the application that a command works on, or the stores alone."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stem.cli.exit_codes import CommandError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from stem.app import Stem


@dataclass(slots=True)
class Target:
    """What the command line says about where to connect to; the last word counts.

    Attributes:
        app: ``module:attribute``; None when no application was named.
        broker: Overrides the application's or the settings' broker URL.
        result_backend: Overrides the result store's URL.
    """

    app: str | None = None
    broker: str | None = None
    result_backend: str | None = None

    @property
    def app_path(self) -> str | None:
        """Where the application is; None when none was named."""
        return self.app or os.environ.get("STEM_APP") or None

    def settings(self) -> dict[str, str]:
        """Return the settings that were given, by name."""
        given = {"broker_url": self.broker, "result_backend_url": self.result_backend}
        return {name: url for name, url in given.items() if url is not None}


def connects(command: Any) -> Any:
    """Add the options that say where to connect to.

    The root command and every command that talks to a store have them, so
    that they may stand before the command's name and after it.
    """
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def target() -> Target:
    """Return what the command line says about where to connect to."""
    return click.get_current_context().find_object(Target) or Target()


@contextmanager
def opened_app(
    *, needs_tasks: bool = False, overrides: Mapping[str, object] | None = None
) -> Generator[Stem]:
    """Give the application that the current command works on, and close it.

    Without ``-A`` it is one that has no tasks and connects as the settings say.

    Args:
        needs_tasks: Whether the command cannot do without ``-A``.
        overrides: Settings by name, stronger than every other source.

    Raises:
        CommandError: ``-A`` is needed and was not given.
        AppNotFoundError: It names nothing usable.
        ConfigurationError: The settings cannot be used.
    """
    from stem.app import Stem, load

    path = target().app_path
    if path is None and needs_tasks:
        raise CommandError(
            "no application was named",
            hint="give -A module:attribute or set STEM_APP",
            code=ExitCode.USAGE,
        )
    app = Stem("stem-cli") if path is None else load(path)
    app.override(**target().settings(), **(overrides or {}))
    try:
        yield app
    finally:
        app.close()


def _remember(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        setattr(ctx.ensure_object(Target), str(parameter.name), value)


_OPTIONS = (
    click.option(
        "-A",
        "--app",
        metavar="MODULE:ATTRIBUTE",
        expose_value=False,
        callback=_remember,
        help="The application; STEM_APP by default.",
    ),
    click.option(
        "-b", "--broker", metavar="URL", expose_value=False, callback=_remember, help="Use this broker."
    ),
    click.option(
        "--result-backend",
        metavar="URL",
        expose_value=False,
        callback=_remember,
        help="Use this result store.",
    ),
    click.option("--debug", is_flag=True, expose_value=False, help="Print the traceback of an error."),
)
