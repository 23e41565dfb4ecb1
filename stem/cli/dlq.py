"""``stem dlq``: messages that will not be tried again by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from stem.cli import views
from stem.cli.connection import connects, opened_app
from stem.cli.exit_codes import CommandError, ExitCode
from stem.cli.output import json_option, print_item, print_json, print_list
from stem.cli.parameters import consent, date_or_age, duration, gathered, none_if_empty
from stem.ports.deadletters import DeadLetterQuery
from stem.states import DeadReason

if TYPE_CHECKING:
    from datetime import timedelta

    from stem.ports.deadletters import DeadLetters

_COLUMNS: Final = {
    "Id": "id",
    "Task": "task",
    "Task id": "task_id",
    "Queue": "queue",
    "Reason": "reason",
    "Attempt": "attempt",
    "Dead at": "dead_at",
    "Detail": "detail",
}

_SAMPLES: Final = 5
"""Entries that a dry run shows."""


def _to_reason(_ctx: click.Context, _param: click.Parameter, value: str | None) -> DeadReason | None:
    return None if value is None else DeadReason(value)


selects = gathered(
    DeadLetterQuery,
    "query",
    click.argument("queue", required=False),
    click.option("-t", "--task", help="Only tasks of this name."),
    click.option(
        "--reason",
        type=click.Choice([reason.value for reason in DeadReason]),
        callback=_to_reason,
        metavar="REASON",
        help="Only those buried for this reason.",
    ),
    click.option(
        "--since",
        type=date_or_age,
        metavar="DATE|AGE",
        help="Only those buried since then: a date, or an age such as 2h.",
    ),
    click.option("--until", type=date_or_age, metavar="DATE|AGE", help="Only those buried before then."),
    click.option(
        "--id",
        "ids",
        metavar="ID",
        multiple=True,
        callback=none_if_empty,
        help="Only this entry or task; repeatable.",
    ),
)
"""Adds what says which dead letters are meant; the command takes it as ``query``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """How to change dead letters.

    Attributes:
        limit: At most so many; None is no limit.
        dry_run: Only look.
        agreed: Do not ask.
    """

    limit: int | None
    dry_run: bool
    agreed: bool


acts = gathered(
    Act,
    "act",
    click.option("--limit", type=click.IntRange(min=1), help="At most so many, the oldest first."),
    click.option("--dry-run", is_flag=True, help="Only show how many are meant, and some of them."),
    click.option("-y", "--yes", "--confirm", "agreed", is_flag=True, help="Do it without asking."),
)
"""Adds what says how to act; the command takes it as ``act``."""


@click.group()
def dlq() -> None:
    """Look into the dead letters, put them back, delete them."""


@dlq.command(name="list")
@selects
@click.option("--replayed", is_flag=True, help="Also those that were put back already.")
@click.option(
    "--page-size",
    "--limit",
    "limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Entries on a page.",
)
@click.option("--cursor", help="The next_cursor of the page before.")
@connects
@json_option
def list_letters(*, query: DeadLetterQuery, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the dead letters of QUEUE, last buried first; of every queue by default."""
    with opened_app() as app:
        letters, next_cursor = app.dead_letters.page(query, cursor=cursor, limit=limit)
    print_list(
        "stem.dead-letter/1",
        [views.dead_letter_item(letter) for letter in letters],
        _COLUMNS,
        as_json=as_json,
        next_cursor=next_cursor,
        nothing="no dead letters",
    )


@dlq.command()
@click.argument("letter_id", metavar="[ID]", required=False)
@click.option("--id", "option_id", metavar="ID", help="The entry's or the task's id.")
@connects
@json_option
def show(*, letter_id: str | None, option_id: str | None, as_json: bool) -> None:
    """Show one dead letter, with its message as it was received."""
    wanted = letter_id or option_id
    if wanted is None:
        raise click.UsageError("which dead letter? Give its id, or its task's")
    with opened_app() as app:
        letters, _ = app.dead_letters.page(DeadLetterQuery(ids=[wanted], replayed=True), limit=1)
    if not letters:
        raise CommandError(
            f"dead letter {wanted}: not found",
            hint="`stem dlq list` shows their ids",
            code=ExitCode.NOT_FOUND,
        )
    item = {**views.dead_letter_item(letters[0]), "payload": views.payload_item(letters[0].payload)}
    print_item("stem.dead-letter/1", item, as_json=as_json)


@dlq.command(name="replay")
@selects
@acts
@click.option("--delay", type=duration, help="Let them wait so long before they run again.")
@connects
@json_option
def replay_letters(*, query: DeadLetterQuery, act: Act, delay: timedelta | None, as_json: bool) -> ExitCode:
    """Put dead letters of QUEUE back where they came from, oldest first.

    Each starts anew with its first attempt. Those whose message cannot be read
    stay where they are.
    """
    _refuse_all(query)
    with opened_app() as app:
        meant = _count(app.dead_letters, query, act)
        if act.dry_run:
            return _preview(app.dead_letters, query, meant, as_json=as_json)
        consent(f"Put {meant} dead letters back?", given=act.agreed)
        done = app.dead_letters.replay(query, limit=meant, delay=delay)
    _print_done(meant, len(done), "put back", as_json=as_json)
    return ExitCode.OK if len(done) >= meant else ExitCode.PARTIAL


@dlq.command(name="purge")
@selects
@acts
@connects
@json_option
def purge_letters(*, query: DeadLetterQuery, act: Act, as_json: bool) -> ExitCode:
    """Delete dead letters of QUEUE for good, oldest first."""
    _refuse_all(query)
    with opened_app() as app:
        meant = _count(app.dead_letters, query, act)
        if act.dry_run:
            return _preview(app.dead_letters, query, meant, as_json=as_json)
        consent(f"Delete {meant} dead letters for good?", given=act.agreed)
        done = app.dead_letters.purge(query, limit=meant)
    _print_done(meant, done, "deleted", as_json=as_json)
    return ExitCode.OK


def _refuse_all(query: DeadLetterQuery) -> None:
    if query.queue is None and query.ids is None:
        raise click.UsageError("which dead letters? Give QUEUE or --id")


def _count(dead_letters: DeadLetters, query: DeadLetterQuery, act: Act) -> int:
    count = dead_letters.count(query)
    if not count:
        raise CommandError(
            "no dead letter matches", hint="`stem dlq list` shows what there is", code=ExitCode.NOT_FOUND
        )
    return count if act.limit is None else min(count, act.limit)


def _preview(dead_letters: DeadLetters, query: DeadLetterQuery, meant: int, *, as_json: bool) -> ExitCode:
    samples, _ = dead_letters.page(query, limit=min(meant, _SAMPLES))
    items = [views.dead_letter_item(letter) for letter in samples]
    if as_json:
        print_json({"schema": "stem.dead-letter-preview/1", "matching": meant, "samples": items})
    else:
        click.echo(f"{meant} dead letters are meant; nothing was done. Some of them:")
        print_list("", items, _COLUMNS, as_json=False)
    return ExitCode.OK


def _print_done(meant: int, done: int, verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"schema": "stem.dead-letter-act/1", "matching": meant, "done": done})
    else:
        click.echo(f"{done} of {meant} dead letters {verb}")
