import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.media.keys import check_key, input_key, output_key, poster_key

OWNER = "0123abcd" * 4
DIGEST = "89abcdef" * 2
SHA256 = "0a" * 32

hex_text = st.text("0123456789abcdef", min_size=8, max_size=64)
sha256s = st.text("0123456789abcdef", min_size=64, max_size=64)


def test_keys_say_what_they_hold_whose_it_is_and_which_bytes() -> None:
    assert input_key(OWNER, SHA256) == f"inputs/{OWNER}/{SHA256}"
    assert output_key(OWNER, DIGEST, SHA256, ".mp4") == f"outputs/{OWNER}/{DIGEST}/{SHA256}.mp4"
    assert poster_key(OWNER, DIGEST, SHA256) == f"posters/{OWNER}/{DIGEST}/{SHA256}.jpg"


@given(hex_text, hex_text, sha256s)
def test_every_key_that_is_built_is_a_key_that_is_taken(
    owner: str, digest: str, sha256: str
) -> None:
    for key in (
        input_key(owner, sha256),
        output_key(owner, digest, sha256, ".webm"),
        poster_key(owner, digest, sha256),
    ):
        assert check_key(key) == key


@given(st.text(max_size=70))
def test_an_owner_that_is_not_hex_never_becomes_a_part_of_a_key(owner: str) -> None:
    try:
        key = input_key(owner, SHA256)
    except ValueError:
        return

    assert 8 <= len(owner) <= 64
    assert set(owner) <= set("0123456789abcdef")
    assert key.count("/") == 2


@pytest.mark.parametrize(
    "owner", ["", "../etc", "ABCDEF01", "01234567\n", "0123/4567", "0" * 7, "0" * 65, "٠١٢٣٤٥٦٧"]
)
def test_an_owner_of_another_form_is_refused(owner: str) -> None:
    with pytest.raises(ValueError, match="owner must match"):
        input_key(owner, SHA256)


@pytest.mark.parametrize("suffix", ["", "mp4", ".", ".MP4", ".mp4/", "../x", ".m", ".mp4#1"])
def test_a_suffix_of_another_form_is_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match="suffix must match"):
        output_key(OWNER, DIGEST, SHA256, suffix)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../b",
        ".hidden",
        "a b",
        "a#1",
        "a\0",
        "a\n",
        "ä",
        "a" * 513,
    ],
)
def test_what_is_no_plain_relative_path_is_no_key(key: str) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        check_key(key)
