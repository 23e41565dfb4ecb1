"""``stem observe``: queues, tasks and workers as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stem.cli import listing, views
from stem.cli.connection import connects, opened_app
from stem.cli.exit_codes import CommandError, ExitCode
from stem.cli.output import json_option, print_item, print_list
from stem.cli.parameters import date_or_age, gathered
from stem.states import TaskState

if TYPE_CHECKING:
    from stem.cli.listing import Wanted


@click.group()
def observe() -> None:
    """Look at queues, tasks and workers."""


@observe.command()
@click.argument("names", metavar="[QUEUE]...", nargs=-1)
@connects
@json_option
def queues(*, names: tuple[str, ...], as_json: bool) -> None:
    """Show how full queues are; every queue by default."""
    with opened_app() as app:
        stats = app.queues.stats(names or None)
    print_list(
        "stem.queue/1",
        [views.queue_item(each) for each in stats],
        {
            "Queue": "queue",
            "Ready": "ready",
            "Delayed": "delayed",
            "Leased": "leased",
            "Dead": "dead",
            "Oldest (s)": "oldest_age_s",
            "Paused": "paused",
        },
        as_json=as_json,
        nothing="no queue has held a message yet",
    )


@observe.command()
@connects
@json_option
def workers(*, as_json: bool) -> None:
    """Show the workers that are alive."""
    print_workers(as_json=as_json)


def print_workers(*, as_json: bool) -> None:
    """Print the last heartbeat of every live worker."""
    with opened_app() as app:
        heartbeats = app.heartbeats()
        now = app.clock.wall()
    print_list(
        "stem.worker/1",
        [views.heartbeat_item(each, now=now) for each in heartbeats],
        {
            "Worker": "worker_id",
            "Pool": "pool",
            "Running": "inflight",
            "Slots": "slots",
            "Processed": "processed",
            "Queues": "queues",
            "Last heard (s ago)": "age_s",
            "Version": "version",
        },
        as_json=as_json,
        nothing="no worker is alive",
    )


@observe.group()
def tasks() -> None:
    """Look at single tasks."""


@tasks.command(name="list")
@gathered(
    listing.Wanted,
    "wanted",
    click.option("-q", "-Q", "--queue", help="Only this queue."),
    click.option(
        "-s",
        "--state",
        type=click.Choice([*listing.IN_FLIGHT, *(state.value for state in TaskState), listing.ANY]),
        help="Of messages (ready, delayed, leased; all three by default), or of records.",
    ),
    click.option("-t", "--task", help="Only tasks of this name."),
    click.option("-w", "--worker", help="Only tasks that this worker holds, or ran."),
    click.option(
        "--since",
        type=date_or_age,
        metavar="DATE|AGE",
        help="Only records that changed since then; asks for a record's state.",
    ),
    click.option(
        "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Tasks on a page."
    ),
    click.option("--cursor", help="The next_cursor of the page before."),
)
@connects
@json_option
def list_tasks(*, wanted: Wanted, as_json: bool) -> None:
    """List tasks in flight, or records of tasks.

    A task in flight has a message in a queue: ready to run, delayed until its
    time, or leased by a worker. Records tell of tasks that have ended, too.
    """
    if wanted.is_in_flight and wanted.since is not None:
        raise click.UsageError("--since: needs --state with a record's state, or any")
    with opened_app() as app:
        if wanted.is_in_flight:
            page = listing.messages(app.queues, wanted)
        else:
            page = listing.records(app.results, wanted)
    print_list(
        page.schema,
        page.items,
        page.columns,
        as_json=as_json,
        next_cursor=page.next_cursor,
        nothing="no such task",
    )


@tasks.command()
@click.argument("task_id", metavar="[ID]", required=False)
@click.option("--id", "option_id", metavar="ID", help="The task's id, for those who name everything.")
@connects
@json_option
def show(*, task_id: str | None, option_id: str | None, as_json: bool) -> None:
    """Show a task's record and what happened to it, step by step."""
    wanted = task_id or option_id
    if wanted is None:
        raise click.UsageError("which task? Give its id")
    with opened_app() as app:
        record = app.results.get([wanted]).get(wanted)
        timeline = app.results.timeline(wanted)
    if record is None:
        raise CommandError(
            f"task {wanted}: no such record",
            hint="check the id and the result store; records are deleted when their time to live has passed",
            code=ExitCode.NOT_FOUND,
        )
    events = [views.event_item(event) for event in timeline]
    print_item(
        "stem.task/1", {**views.record_item(record), "timeline": events}, as_json=as_json, hide=["timeline"]
    )
    if not as_json:
        columns = {"At": "at", "What": "kind", "Attempt": "attempt", "Worker": "worker", "Detail": "detail"}
        click.echo()
        print_list("stem.task-event/1", events, columns, as_json=False, nothing="no timeline is kept")
