"""What is logged stands in the tables, and what is shown holds no secrets."""

import ast
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import stem
from stem.observability import events
from stem.observability.events import EVENTS, FACTS
from stem.observability.logging import EventFormatter

REPOSITORY = Path(__file__).parents[2]
SOURCE = Path(stem.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
CANARY = "hunter2canary"


@dataclass(frozen=True)
class Call:
    """One call of a logger in the source."""

    at: str
    event: ast.expr | None
    extra: ast.expr | None


def calls() -> Iterator[Call]:
    """Find every ``log.<level>(…)`` in the package."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level)) if level in LEVELS:
                    extra = next((one.value for one in node.keywords if one.arg == "extra"), None)
                    at = f"{file.relative_to(SOURCE)}:{node.lineno}"
                    yield Call(at, node.args[0] if node.args else None, extra)
                case _:
                    pass


def names(event: ast.expr | None) -> list[object]:
    """Return the event's name, or both of a choice."""
    match event:
        case ast.Constant(value=name):
            return [name]
        case ast.IfExp(body=one, orelse=other):
            return [*names(one), *names(other)]
        case _:
            return [None]


def facts(extra: ast.expr | None) -> list[object]:
    """Return the facts' names where they are written down beside the call."""
    match extra:
        case ast.Dict(keys=keys):
            return [key.value if isinstance(key, ast.Constant) else None for key in keys]
        case _:
            return []


LOGGED = list(calls())


def test_every_logged_event_is_in_the_table() -> None:
    strangers = {call.at: name for call in LOGGED for name in names(call.event) if name not in EVENTS}

    assert strangers == {}, "add them to stem/observability/events.py"


def test_every_fact_is_in_the_table() -> None:
    strangers = {call.at: name for call in LOGGED for name in facts(call.extra) if name not in FACTS}

    assert strangers == {}, "add them to stem/observability/events.py"


def test_every_event_in_the_table_is_logged() -> None:
    logged = {name for call in LOGGED for name in names(call.event)}

    assert [name for name in EVENTS if name not in logged] == []


def test_facts_do_not_clash_with_what_every_record_has() -> None:
    assert FACTS.keys().isdisjoint(vars(logging.makeLogRecord({})))


def test_the_tables_are_sorted() -> None:
    assert (list(EVENTS), list(FACTS)) == (sorted(EVENTS), sorted(FACTS))


def test_the_reference_page_is_current() -> None:
    page = REPOSITORY / "docs" / "reference" / "log-events.md"

    assert page.read_text() == events.render(), "write it anew: python docs/.site/render.py"


def shown(message: str, **facts: object) -> str:
    record = logging.makeLogRecord({"msg": message, "levelname": "WARNING", "created": 0.0, **facts})
    return EventFormatter().format(record)


@pytest.mark.parametrize(
    "facts",
    [
        {"server": f"redis://:{CANARY}@h/0"},
        {"reason": f"cannot reach redis://u:{CANARY}@h/0?token={CANARY}"},
        {"reason": f"password={CANARY}"},
        {"token": CANARY},
        {"api_key": [CANARY]},
        {"args": (f"amqp://u:{CANARY}@h//",), "msg": "lost %s"},
    ],
)
def test_secrets_are_not_shown(facts: dict[str, object]) -> None:
    line = shown(str(facts.pop("msg", "broker.unavailable")), **facts)

    assert CANARY not in line
    assert "***" in line


def test_secrets_in_a_traceback_are_not_shown() -> None:
    try:
        raise ConnectionError(f"redis://:{CANARY}@h/0 is gone")
    except ConnectionError as error:
        text = shown("broker.failed", exc_info=(type(error), error, error.__traceback__))

    assert CANARY not in text
    assert text.endswith("ConnectionError: redis://:***@h/0 is gone")


def test_a_message_of_others_can_neither_forge_a_line_nor_steer_the_terminal() -> None:
    try:
        raise ValueError("a\x1b[2Jb\rc")
    except ValueError as error:
        text = shown("a\n2026 info forged\x1b[2J ü", exc_info=(type(error), error, error.__traceback__))

    first, *trace = text.split("\n")
    assert first == r"1970-01-01T00:00:00.000Z warning a\n2026 info forged\x1b[2J ü"
    assert "\x1b" not in text
    assert "\r" not in text
    assert trace[0] == "Traceback (most recent call last):"
