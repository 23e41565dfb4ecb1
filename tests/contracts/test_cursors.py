from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stem.errors import ConfigurationError
from stem.ports.pages import read_cursor, write_cursor

storable = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(storable, st.integers(-(2**63), 2**63 - 1), storable)
def test_a_cursor_is_read_as_it_was_written(first: str, second: int, third: str) -> None:
    assert read_cursor(write_cursor(first, second, third), str, int, str) == (first, second, third)


@pytest.mark.parametrize(
    "json_text",
    ["[1,2]", '["1"]', "[true]", "[1.0]", "[null]", '{"0":1}', "[9223372036854775808]", "[" * 9000, "[NaN]"],
)
def test_what_was_written_for_another_listing_is_refused(json_text: str) -> None:
    cursor = base64.urlsafe_b64encode(json_text.encode()).decode()

    with pytest.raises(ConfigurationError, match="cursor"):
        read_cursor(cursor, int)


@pytest.mark.parametrize("key", ["\0", "a\ud800"])
def test_a_text_that_no_database_takes_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="cursor"):
        read_cursor(write_cursor(key), str)


@given(st.text())
def test_no_text_breaks_the_reader(cursor: str) -> None:
    try:
        keys = read_cursor(cursor, int)
    except ConfigurationError:
        return
    assert len(keys) == 1
