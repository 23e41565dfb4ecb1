from __future__ import annotations

from datetime import timedelta

import click
import pytest

from stem import errors
from stem.cli.exit_codes import MEANINGS, CommandError, ExitCode, explain

STORE = {"server": "sqlite:///x.db", "operation": "publish", "reason": "it is so"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError(problems=["a: b"]), 64),
        (errors.AppNotFoundError(path="x:y", reason="no"), 64),
        (errors.UnknownAdapterError(scheme="ftp", known=["sqlite"]), 64),
        (errors.StoreUnavailableError(**STORE), 69),
        (errors.StoreCorruptError(**STORE), 69),
        (errors.StoreVersionError(**STORE), 69),
        (errors.StoreFullError(**STORE), 75),
        (errors.StoreDeniedError(**STORE), 77),
        (errors.UnknownTaskError(name="x"), 3),
        (errors.ArgumentsError(name="x", reason="missing a"), 2),
        (errors.TaskFailedError(task_id="1", type="builtins.ValueError", message="no"), 1),
        (errors.TaskCancelledError(task_id="1", reason="revoked"), 1),
        (errors.ResultTimeoutError(task_id="1", timeout=timedelta(seconds=1)), 4),
        (errors.LeaseLostError(task_id="1"), 70),
        (ZeroDivisionError("division by zero"), 70),
        (click.UsageError("no such option"), 2),
        (click.Abort(), 130),
        (CommandError("nothing", code=ExitCode.NOT_FOUND), 3),
    ],
)
def test_each_kind_of_error_has_its_code(error: BaseException, code: int) -> None:
    assert explain(error).exit_code == code


def test_every_code_is_explained() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_every_configuration_problem_is_told() -> None:
    explanation = explain(errors.ConfigurationError(problems=["a: wrong", "b: wrong"]))

    assert explanation.messages == ("a: wrong", "b: wrong")


def test_the_stores_own_remedy_wins_over_the_general_hint() -> None:
    vague = explain(errors.StoreFullError(**STORE))
    exact = explain(errors.StoreFullError(**STORE, remedy="empty /data"))

    assert vague.hint == "make space, then try again"
    assert exact.hint == ""
    assert exact.messages == ("sqlite:///x.db: publish: it is so; empty /data",)


def test_a_message_is_one_line_whatever_the_error_says() -> None:
    assert explain(RuntimeError("two\nlines")).messages == ("internal error: RuntimeError: two lines",)


def test_whatever_an_error_says_its_secrets_are_masked() -> None:
    explanation = explain(RuntimeError("cannot reach redis://me:s3cret@host/0"))

    assert "s3cret" not in explanation.messages[0]


def test_programs_get_the_kind_in_words() -> None:
    assert explain(errors.StoreUnavailableError(**STORE)).code == "store-unavailable"
