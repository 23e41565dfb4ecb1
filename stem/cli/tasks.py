"""``stem tasks``: an application's tasks, and calls to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stem.cli import views
from stem.cli.connection import connects, opened_app
from stem.cli.output import json_option, print_json, print_list
from stem.cli.parameters import date, duration, gathered, json_list, json_object

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from stem.tasks.options import CallOptions


@click.group()
def tasks() -> None:
    """List an application's tasks and call them."""


@tasks.command(name="list")
@connects
@json_option
def list_definitions(*, as_json: bool) -> None:
    """List the tasks that the application has registered."""
    with opened_app(needs_tasks=True) as app:
        items = [views.definition_item(task) for task in app.tasks]
    print_list(
        "stem.task-definition/1",
        items,
        {"Task": "name", "Queue": "queue", "What it does": "doc"},
        as_json=as_json,
        nothing="the application has no tasks",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the command line says about a call; None fields are left to the task's definition."""

    args: list[Any]
    kwargs: dict[str, Any]
    eta: datetime | None
    countdown: timedelta | None
    expires: timedelta | None
    queue: str | None
    priority: int | None
    task_id: str | None

    def options(self) -> CallOptions:
        """Return what was given, as ``send_task`` takes it."""
        given: CallOptions = {}
        for name in ("eta", "countdown", "expires", "queue", "priority", "task_id"):
            if (value := getattr(self, name)) is not None:
                given[name] = value
        return given


@tasks.command(name="call")
@click.argument("name")
@gathered(
    Call,
    "call",
    click.option("-a", "--args", type=json_list, default="[]", help="Positional arguments, a JSON list."),
    click.option("-k", "--kwargs", type=json_object, default="{}", help="Keyword arguments, a JSON object."),
    click.option("--eta", type=date, help="Start no earlier than this date."),
    click.option("--countdown", type=duration, help="Start no earlier than this from now."),
    click.option("--expires", type=duration, help="Do not start later than this from now."),
    click.option("-q", "-Q", "--queue", help="Publish to this queue."),
    click.option("--priority", type=click.IntRange(0, 9), help="A higher number is more urgent."),
    click.option("--task-id", help="The task's id; calling it twice under one id is one task."),
)
@click.option("--wait", is_flag=True, help="Wait for the task to end and print its result.")
@click.option("--timeout", type=duration, help="Wait no longer than this.")
@connects
@json_option
def call_task(*, name: str, call: Call, wait: bool, timeout: timedelta | None, as_json: bool) -> None:
    """Publish a call of the task NAME and print its id.

    With --wait, print its result instead, as JSON; a task that fails makes
    the command fail with exit code 1. Without -A the arguments are not checked
    against the task's signature.
    """
    with opened_app() as app:
        handle = app.send_task(name, call.args, call.kwargs, **call.options())
        result = handle.get(timeout) if wait else None
    if as_json:
        item = {"id": handle.id, "result": result} if wait else {"id": handle.id}
        print_json({"schema": "stem.call/1", "item": item})
    elif wait:
        print_json(result)
    else:
        click.echo(handle.id)
