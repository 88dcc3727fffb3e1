import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.media.errors import UrlRefused
from activities.media.locations import parse_location

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)


@given(hosts, st.integers(1, 65535), st.from_regex(r"(/[!-~]*)?", fullmatch=True))
def test_a_plain_url_is_read_into_the_parts_that_it_was_made_of(
    host: str, port: int, path: str
) -> None:
    path = path.replace("#", "").replace("\\", "")

    location = parse_location(f"https://{host}:{port}{path}")

    assert location.origin == ("https", host, port)
    assert location.target == (path or "/")


@given(st.text(max_size=60))
def test_whatever_is_read_has_a_plain_host_and_only_printable_ascii(text: str) -> None:
    try:
        location = parse_location(f"https://{text}")
    except UrlRefused:
        return

    assert location.host.isascii()
    assert not set(location.host) & set("/?#@\\ %")
    assert location.target.isascii()
    assert location.target.isprintable()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user@host.com/", "user name or password"),
        ("https://user:pw@host.com/", "user name or password"),
        ("https://public.com@127.0.0.1/", "user name or password"),
        ("https://127.0.0.1\\@public.com/", "not a plain https address"),
        ("https://public.com\\.evil.com/", "not a plain https address"),
        ("https://ho st.com/", "not a plain https address"),
        ("https://host.com/\r\nHost: evil.com", "not a plain https address"),
        ("https://host.com/\0", "not a plain https address"),
        ("https:/host.com/", "not a plain https address"),
        ("//host.com/", "not a plain https address"),
        ("", "not a plain https address"),
        ("https://" + "a" * 5000, "not a plain https address"),
        ("https://exämple.com/", "beyond ASCII"),
        ("https://\uff11\uff12\uff17.0.0.1/", "beyond ASCII"),
        ("https://host%2ecom/", "not written plainly"),
        ("https://[fe80::1%25eth0]/", "not written plainly"),
        ("https://[::1/", "not written plainly"),
        ("https://host.com:0/", "not written plainly"),
        ("https://host.com:65536/", "not written plainly"),
        ("https://host.com:443:443/", "not written plainly"),
        ("https://host.com:/", "not written plainly"),
        ("https://.host.com/", "not written plainly"),
        ("https://host.com./", "not written plainly"),
        ("https:///path", "not written plainly"),
        ("ftp://host.com/", "begins with ftp://"),
        ("file:///etc/passwd", "begins with file://"),
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str, reason: str) -> None:
    with pytest.raises(UrlRefused, match=reason):
        parse_location(url)


def test_a_refusal_never_repeats_the_url() -> None:
    with pytest.raises(UrlRefused) as caught:
        parse_location("https://user@host.com/secret-path?X-Signature=secret-query")

    assert "secret" not in str(caught.value)


def test_letters_beyond_ascii_in_a_path_are_escaped() -> None:
    assert (
        parse_location("https://host.com/фото?a=b%20c").target
        == "/%D1%84%D0%BE%D1%82%D0%BE?a=b%20c"
    )


@pytest.mark.parametrize(
    ("reference", "target"),
    [("/other", "/other"), ("other?q=1", "/a/other?q=1"), ("https://h.com/z", "/z"), ("", "/a/b")],
)
def test_a_redirect_is_read_relative_to_where_it_came_from(reference: str, target: str) -> None:
    location = parse_location("https://h.com/a/b").joined(reference)

    assert location.host == "h.com"
    assert location.target == target


def test_an_ipv6_host_keeps_its_brackets_in_the_request_alone() -> None:
    location = parse_location("http://[2001:DB8::1]:8080/x")

    assert location.host == "2001:db8::1"
    assert location.host_header == "[2001:db8::1]:8080"
