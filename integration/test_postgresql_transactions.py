"""Tasks that are published within the application's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from postgresql_place import SERVER, PostgresqlPlace
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from stem import Stem
from stem.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture(params=["postgresql", "sqlite"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Stem's URL and SQLAlchemy's for one database."""
    if request.param == "sqlite":
        yield (f"sqlite:///{tmp_path / 'app.db'}",) * 2
        return
    place = PostgresqlPlace()
    yield place.url, SERVER.replace("postgresql:", "postgresql+psycopg:")
    place.drop()


@pytest.fixture
def app(urls: tuple[str, str]) -> Iterator[Stem]:
    app = Stem("shop", broker=urls[0])

    @app.task(name="mail")
    def mail(address: str) -> None: ...

    app.queues.queues()  # makes the tables, which a transaction under way on SQLite would prevent
    yield app
    app.close()


@pytest.fixture
def engine(urls: tuple[str, str]) -> Iterator[Engine]:
    engine = create_engine(urls[1])
    yield engine
    engine.dispose()


def ready(app: Stem) -> int:
    return sum(stats.ready for stats in app.queues.stats(["default"]))


def test_a_commit_sends_and_nothing_is_sent_before(app: Stem, engine: Engine) -> None:
    with engine.begin() as connection:
        handle = app.enqueue_in(connection, app.tasks["mail"], ("a@b.c",))
        assert ready(app) == 0

    assert ready(app) == 1
    assert handle.record is not None


def test_a_rollback_never_sends(app: Stem, engine: Engine) -> None:
    with engine.connect() as connection:
        handle = app.enqueue_in(connection, "mail", ("a@b.c",))
        connection.rollback()

    assert ready(app) == 0
    assert handle.record is None


def test_a_session_publishes_with_what_it_writes(app: Stem, engine: Engine) -> None:
    with Session(engine) as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS stem_test_orders (number integer)"))
        session.execute(text("INSERT INTO stem_test_orders VALUES (1)"))
        handle = app.enqueue_in(session, "elsewhere", (1,), countdown=60)
        session.execute(text("DROP TABLE stem_test_orders"))
        session.commit()

    assert handle.record is not None
    assert handle.record.name == "elsewhere"


def test_an_id_that_is_known_is_sent_once(app: Stem, engine: Engine) -> None:
    with engine.begin() as connection:
        for _ in range(2):
            app.enqueue_in(connection, "mail", ("a@b.c",), task_id="once")

    assert ready(app) == 1


def test_a_connection_to_another_database_is_refused(app: Stem) -> None:
    with (
        create_engine("sqlite://").connect() as connection,
        pytest.raises(ConfigurationError, match="expected a connection to"),
    ):
        app.enqueue_in(connection, "mail", ("a@b.c",))


def test_what_is_no_connection_is_refused(app: Stem) -> None:
    with pytest.raises(ConfigurationError, match="expected a SQLAlchemy Connection or Session, got object"):
        app.enqueue_in(object(), "mail", ("a@b.c",))
