import re
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from stem.security.masking import MASK, is_secret_name, mask_mapping, mask_text, mask_url

CANARY = "hunter2canary"

passwords = st.text(min_size=4).filter(lambda text: not set(text) <= {"*"})
raw_passwords = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///stem.db", "sqlite:///stem.db"),
        ("sqlite:////var/l:b/p@th.db", "sqlite:////var/l:b/p@th.db"),
        ("memory://", "memory://"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("postgresql://h1:5432,h2/db", "postgresql://h1:5432,h2/db"),
        ("redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
        ("redis://:pw@[::1]:6379/0", "redis://:***@[::1]:6379/0"),
        ("postgresql+psycopg://stem:pw@db/jobs", "postgresql+psycopg://stem:***@db/jobs"),
        ("amqp://guest@h//", "amqp://guest@h//"),
        ("amqp://u:p@ss/w:rd?#@h//vhost", "amqp://u:***@h//vhost"),
        ("redis://user:secret/0", "redis://user:***"),
        ("redis://h/0?password=a@b&db=1", "redis://h/0?password=***&db=1"),
        (
            "redis://h/0?ssl_cert_reqs=none&ssl_keyfile=k&API-KEY=k",
            "redis://h/0?ssl_cert_reqs=none&ssl_keyfile=k&API-KEY=***",
        ),
        ("pg://h/d?%70assword=x&sslkey=y&token=z", "pg://h/d?%70assword=***&sslkey=***&token=***"),
        ("redis://:a@h1;redis://:b@h2/1", "redis://:***@h1;redis://:***@h2/1"),
        ("redis://h1:1;redis://u:b;c://d@h2", "redis://h1:1;redis://u:***@h2"),
        ("sqs://AKIAIOSFODNN7EXAMPLE:wJalr/XUt@", "sqs://***:***@"),
        ("sqs://AKIAIOSFODNN7EXAMPLE@", "sqs://***@"),
        ("host=db user=u password='a b' dbname=x", "host=db user=u password=*** dbname=x"),
        ("", ""),
        ("no url at all", "no url at all"),
    ],
)
def test_a_masked_url_shows_all_but_its_secrets(url: str, masked: str) -> None:
    assert mask_url(url) == masked


@given(password=passwords)
def test_an_encoded_password_never_survives(password: str) -> None:
    encoded = quote(password, safe="", errors="surrogatepass")
    assume(len(encoded) >= 4)

    masked = mask_url(f"redis://user:{encoded}@host:6379/0?timeout=5")

    assert masked == f"redis://user:{MASK}@host:6379/0?timeout=5"


@given(password=raw_passwords)
@example(password="a;b")
@example(password="a@b:c/d?e#f")
@example(password="1/2")
@example(password="x?y=z&password=")
def test_a_password_that_was_not_encoded_never_survives(password: str) -> None:
    # "…;scheme://" in a raw password cannot be told from a second URL
    assume(not re.search(r";[A-Za-z][A-Za-z0-9+.-]*://", password))

    assert mask_url(f"redis://user:{password}@host/0") == f"redis://user:{MASK}@host/0"


@given(password=raw_passwords.filter(lambda text: "&" not in text and "@" not in text))
def test_a_password_in_the_query_never_survives(password: str) -> None:
    assume(not re.search(r";[A-Za-z][A-Za-z0-9+.-]*://", password))

    assert mask_url(f"pg://host/db?password={password}&a=1") == f"pg://host/db?password={MASK}&a=1"


@given(text=st.text())
def test_any_text_can_be_masked_and_masking_twice_changes_nothing(text: str) -> None:
    assert mask_url(mask_url(text)) == mask_url(text)


def test_secrets_inside_a_sentence_are_masked() -> None:
    text = f"cannot reach redis://:{CANARY}@h/0, tried password={CANARY} and AKIAIOSFODNN7EXAMPLE"

    assert mask_text(text) == "cannot reach redis://:***@h/0, tried password=*** and ***"


def test_masking_a_long_text_takes_time_in_proportion_to_its_length() -> None:
    text = "a" * 1_000_000

    assert mask_text(text) == text  # minutes, if the search were quadratic


@pytest.mark.parametrize(
    "name",
    ["password", "DB_PASSWORD", "x-api-key", "apiKey", "api_key", "Authorization", "Set-Cookie", "session_id",
     "private-key", "PrivateKey", "AWS_SECRET_ACCESS_KEY", "refresh_token", "credentials", "passwd"],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["queue", "id", "key", "routing_key", "passenger", "author", "keyboard"])
def test_a_harmless_name_is_let_through(name: str) -> None:
    assert not is_secret_name(name)


def test_a_mapping_is_masked_through_all_its_levels() -> None:
    mapping = {
        "id": 7,
        "token": CANARY,
        "broker_url": f"redis://:{CANARY}@h/0",
        "nested": {"list": [{"Api-Key": CANARY}, (f"password={CANARY}",)], 5: None},
    }

    masked = mask_mapping(mapping)

    assert masked == {
        "id": 7,
        "token": MASK,
        "broker_url": "redis://:***@h/0",
        "nested": {"list": [{"Api-Key": MASK}, ["password=***"]], 5: None},
    }
    assert mapping["token"] == CANARY


def test_the_names_to_hide_can_be_chosen() -> None:
    assert mask_mapping({"card": 1, "token": 2}, names=["card"]) == {"card": MASK, "token": 2}


def test_what_is_nested_too_deeply_is_hidden() -> None:
    deep: object = CANARY
    for _ in range(500):
        deep = {"a": deep}

    assert CANARY not in repr(mask_mapping({"deep": deep}))
