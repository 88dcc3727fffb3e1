"""Cursors of pages: whatever the id, there and back; whatever else, refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starter.api.cursors import CURSOR_CHARACTERS_MAX, after_of, decode, encode
from starter.api.problems import Problem

STORABLE = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=200
)


@given(last_id=STORABLE)
def test_an_id_is_the_same_there_and_back_and_safe_in_an_address(last_id: str) -> None:
    cursor = encode(last_id)

    assert decode(cursor) == last_id
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert len(cursor) <= CURSOR_CHARACTERS_MAX


@given(text=st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """Hardly any text is one; what is, reads back as itself."""
    try:
        read = decode(text)
    except Problem as problem:
        status = problem.status
    else:
        status = None if encode(read) == text else 200

    assert status in (None, 422)


@pytest.mark.parametrize("cursor", ["", "a", "YQ==", "YWI+", "YWI/", "AA", "YQ\n", "é"])
def test_a_cursor_has_one_form_only(cursor: str) -> None:
    with pytest.raises(Problem, match="cursor"):
        decode(cursor)


def test_without_a_cursor_it_is_the_first_page() -> None:
    assert after_of(None) is None
