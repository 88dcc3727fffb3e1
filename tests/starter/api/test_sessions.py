"""Sessions: what a cookie says and for how long, and which requests it is not enough for."""

import time
from http.cookies import SimpleCookie

import pytest
from fastapi import Request, Response

from starter.api.problems import Problem
from starter.api.sessions import (
    AGE_S_MAX,
    COOKIE_CHARACTERS_MAX,
    Session,
    begin,
    cookie_name,
    csrf_token_of,
    end,
    require_own_origin,
    session_of,
)

KEY = "a-deployments-own-key"
ANN = Session("key_1", "ann")
HOST = "video.example.com"


def a_request(
    method: str = "GET", *, scheme: str = "http", host: str = HOST, **headers: str
) -> Request:
    given = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    scope = {"type": "http", "method": method, "scheme": scheme, "path": "/", "query_string": b""}
    return Request({**scope, "server": (host, 80), "headers": raw})


def begun(session: Session = ANN, key: str = KEY, request: Request | None = None) -> Response:
    response = Response()
    begin(request or a_request(), response, key, session)
    return response


def cookie_of(response: Response) -> str:
    ((name, morsel),) = SimpleCookie(response.headers["set-cookie"]).items()
    return f"{name}={morsel.value}"


def attributes_of(response: Response) -> set[str]:
    return {part.strip().lower() for part in response.headers["set-cookie"].split(";")[1:]}


def test_a_session_is_read_back_from_its_cookie() -> None:
    for session in (ANN, Session("key_1", "Änne 🎬 " + "x" * 190)):
        cookie = cookie_of(begun(session))

        # Latin-1 would not survive: it is ASCII, and needs no quotes.
        assert cookie.isascii()
        assert '"' not in cookie
        assert session_of(a_request(cookie=cookie), KEY) == session


def test_the_cookie_is_for_our_own_pages_alone() -> None:
    plain, safe = begun(), begun(request=a_request(scheme="https"))

    assert attributes_of(plain) == {
        "httponly",
        "samesite=strict",
        "path=/",
        f"max-age={AGE_S_MAX}",
    }
    assert attributes_of(safe) == attributes_of(plain) | {"secure"}


def test_behind_a_proxy_that_ends_tls_the_cookie_is_secure_too() -> None:
    request = a_request("POST", scheme="http", origin=f"https://{HOST}")

    assert "secure" in attributes_of(begun(request=request))


def test_a_cookie_that_was_changed_cut_or_signed_elsewhere_is_nobodys() -> None:
    cookie = cookie_of(begun())
    name, _, value = cookie.partition("=")
    text, _, mac = value.partition(".")
    other = cookie_of(begun(Session("key_1", "bob"))).partition("=")[2].partition(".")[0]
    elsewhere = cookie_of(begun(key="another-key")).partition("=")[2]

    for wrong in (
        f"{other}.{mac}",
        f"{text}.{mac[:-1]}",
        f"{text}.",
        text,
        "",
        ".",
        f"{text}.{mac}é",
        elsewhere,
        "x" * (COOKIE_CHARACTERS_MAX + 1),
    ):
        assert session_of(a_request(cookie=f"{name}={wrong}"), KEY) is None, wrong
    assert session_of(a_request(), KEY) is None


def test_each_deployment_has_a_cookie_of_its_own_name() -> None:
    # Two of them on one machine would else sign people out of each other.
    assert cookie_name(KEY) != cookie_name("another-key")
    assert KEY not in cookie_name(KEY)


def test_a_session_ends_after_half_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = cookie_of(begun())
    begun_at = time.time()

    monkeypatch.setattr(time, "time", lambda: begun_at + AGE_S_MAX - 5)
    assert session_of(a_request(cookie=cookie), KEY) == ANN
    monkeypatch.setattr(time, "time", lambda: begun_at + AGE_S_MAX + 5)
    assert session_of(a_request(cookie=cookie), KEY) is None


def test_signing_out_has_the_browser_forget_the_cookie() -> None:
    response = Response()

    end(a_request("POST"), response, KEY)

    assert response.headers["set-cookie"].startswith(f'{cookie_name(KEY)}=""; ')
    assert "max-age=0" in attributes_of(response)


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
def test_what_changes_something_needs_the_token_and_our_own_origin(method: str) -> None:
    cookie = cookie_of(begun())
    token = csrf_token_of(a_request(cookie=cookie), KEY)
    assert token is not None
    ours = {"cookie": cookie, "origin": f"http://{HOST}", "stillmotion_csrf": token}

    assert session_of(a_request(method, **ours), KEY) == ANN
    for wrong in (
        {"stillmotion_csrf": ""},
        {"stillmotion_csrf": token[:-1]},
        {"stillmotion_csrf": "é"},
        {"origin": "https://evil.example.com"},
        {"origin": f"http://{HOST}.evil.example.com"},
        {"origin": f"http://evil.example.com@{HOST}"},
        {"origin": f"ftp://{HOST}"},
        {"origin": f"http://{HOST}:8080"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": ""},
    ):
        with pytest.raises(Problem) as refused:
            session_of(a_request(method, **{**ours, **wrong}), KEY)
        assert refused.value.status == 403, wrong


def test_the_token_of_another_session_is_none_of_this_one() -> None:
    cookie, other = cookie_of(begun()), cookie_of(begun())
    token = csrf_token_of(a_request(cookie=other), KEY)
    assert token is not None

    with pytest.raises(Problem):
        session_of(
            a_request("POST", cookie=cookie, origin=f"http://{HOST}", stillmotion_csrf=token),
            KEY,
        )


def test_a_form_of_another_sites_page_is_refused_and_a_programs_is_not() -> None:
    require_own_origin(a_request("POST"))
    require_own_origin(a_request("POST", origin=f"https://{HOST}"))

    for origin in ("https://evil.example.com", "null", ""):
        with pytest.raises(Problem) as refused:
            require_own_origin(a_request("POST", origin=origin))
        assert refused.value.status == 403
