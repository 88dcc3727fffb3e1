"""Pages as they come from the server: who gets which, and what guards them."""

import dataclasses
import html
import re
from http.cookies import SimpleCookie

import pytest

from activities.access import repository as access
from activities.access.keys import new_secret
from activities.database.pool import Pool
from starter.api.pages.rendering import POLICY, STATIC
from tests.starter.api.conftest import Api, api_of
from tests.starter.api.holders import Holder, a_browser, a_holder
from tests.starter.api.visitors import Visitor, a_visitor

PAGES = ("/", "/new", "/new?operation=talking-avatar", "/usage", "/new/parameters")


@pytest.fixture(scope="module")
async def holder(owners: Pool) -> Holder:
    return await a_holder(owners)


@pytest.fixture
def visitor(api: Api, holder: Holder) -> Visitor:
    return a_visitor(api, holder)


@pytest.mark.parametrize("path", PAGES)
async def test_whoever_is_not_signed_in_finds_the_sign_in_in_the_pages_place(
    api: Api, path: str
) -> None:
    reply = await api.http.get(api.origin + path)

    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "Sign in to Stillmotion" in reply.text
    assert f'name="next" value="{html.escape(path)}"' in reply.text


@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/nothing-of-ours", "/generations/gen_none"])
async def test_each_page_forbids_what_is_not_ours(visitor: Visitor, path: str) -> None:
    reply = await visitor.get(path)

    if reply.headers["content-type"].startswith("text/html"):
        assert reply.headers["content-security-policy"] == POLICY
        assert reply.headers["referrer-policy"] == "same-origin"
        assert reply.headers["cache-control"] == "no-store"
        # The policy forbids both, so a page with either would not work.
        assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", reply.text)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", reply.text)
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = POLICY.split("; ")

    assert "default-src 'self'" in rules
    assert "frame-ancestors 'none'" in rules
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


async def test_a_person_signs_in_by_a_form_and_out_again(api: Api, holder: Holder) -> None:
    origin = {"Origin": api.origin}
    form = {"key": f" {holder.secret} ", "user": "ann", "next": "/usage"}

    entered = await api.http.post(f"{api.origin}/sign-in", data=form, headers=origin)
    ((name, morsel),) = SimpleCookie(entered.headers["set-cookie"]).items()
    cookie = {"Cookie": f"{name}={morsel.value}"}
    usage = await api.http.get(f"{api.origin}/usage", headers=cookie)
    left = await api.http.post(f"{api.origin}/sign-out", headers=cookie | origin)

    assert (entered.status_code, entered.headers["location"]) == (303, "/usage")
    assert holder.secret not in morsel.value
    assert usage.status_code == 200
    assert "Signed in as <strong>ann</strong>" in usage.text
    assert (left.status_code, left.headers["location"]) == (303, "/sign-in")
    assert "Max-Age=0" in left.headers["set-cookie"]


@pytest.mark.parametrize(
    ("next_page", "leads_to"),
    [
        ("/new?like=gen_1", "/new?like=gen_1"),
        ("https://evil.example.com/", "/"),
        ("//evil.example.com", "/"),
        ("/\\evil.example.com", "/"),
        ("/\t/evil.example.com", "/"),
        ("javascript:alert(1)", "/"),
        ("http://[", "/"),
        ("//[", "/"),
        ("http://\u2100.example.com", "/"),
        ("/sign-in", "/"),
        ("", "/"),
    ],
)
async def test_signing_in_leads_to_pages_of_ours_alone(
    api: Api, holder: Holder, next_page: str, leads_to: str
) -> None:
    form = {"key": holder.secret, "user": "ann", "next": next_page}

    entered = await api.http.post(f"{api.origin}/sign-in", data=form)

    assert (entered.status_code, entered.headers["location"]) == (303, leads_to)


async def test_each_mistake_of_a_sign_in_is_told_in_the_form(
    api: Api, owners: Pool, holder: Holder
) -> None:
    anns = await a_holder(owners, user_id="ann")

    async def told(key: str, user: str = "", **headers: str) -> tuple[int, str]:
        form = {"key": key, "user": user, "next": "/"}
        reply = await api.http.post(f"{api.origin}/sign-in", data=form, headers=headers)
        assert "set-cookie" not in reply.headers
        assert key not in reply.text or not key
        said = re.search(r'role="alert".*?<p>(.*?)</p>', reply.text, re.DOTALL)
        return reply.status_code, html.unescape(said[1]) if said else ""

    unknown = (401, "This key is unknown, has ended or was revoked.")
    assert await told(new_secret(), "ann") == unknown
    assert await told("nonsense", "ann") == unknown
    assert await told("", "ann") == unknown
    assert (await told(holder.secret))[0] == 422
    assert (await told(holder.secret, "a\x00b"))[0] == 422
    assert await told(anns.secret, "bob") == (403, "User id: this key acts for another user.")
    assert (await told(anns.secret, "ann", Origin="https://evil.example.com"))[0] == 403


async def test_a_form_that_is_too_long_or_none_is_refused(api: Api) -> None:
    url = f"{api.origin}/sign-in"

    long = await api.http.post(url, content=b"key=" + b"x" * 9000)
    many = await api.http.post(url, content="&".join(f"a{n}=b" for n in range(50)))
    bytes_ = await api.http.post(url, content=b"key=\xff\xfe")

    assert (long.status_code, many.status_code, bytes_.status_code) == (413, 422, 422)


async def test_a_link_with_a_key_signs_in_by_itself_only_where_keys_are_local(api: Api) -> None:
    elsewhere = dataclasses.replace(api.parts, place=api.parts.place._replace(stack=None))

    here = (await api.http.get(f"{api.origin}/sign-in")).text
    async with api_of(elsewhere) as origin:
        there = (await api.http.get(f"{origin}/sign-in")).text

    # The test's stack is a `dev`.
    assert "/static/sign-in.js" in here
    assert "/static/sign-in.js" not in there


async def test_a_revoked_key_ends_its_sessions(api: Api, owners: Pool) -> None:
    leaked = await a_holder(owners)
    browser = a_browser(api.parts, leaked.key.key_id, "ann")
    await access.revoke(owners, leaked.key.key_id)

    reply = await api.http.get(f"{api.origin}/", headers=browser.headers())

    assert reply.status_code == 401


async def test_scripts_and_style_answer_without_a_key_and_say_what_they_are(api: Api) -> None:
    for path in sorted(STATIC.iterdir()):
        reply = await api.http.get(f"{api.origin}/static/{path.name}")
        wanted = {".js": "javascript", ".css": "text/css", ".svg": "image/svg+xml"}[path.suffix]

        assert reply.status_code == 200
        assert wanted in reply.headers["content-type"]
        assert reply.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": reply.headers["etag"]}
        again = await api.http.get(f"{api.origin}/static/{path.name}", headers=known)
        assert again.status_code == 304
    for outside in ("..%2f..%2fapp.py", "%2e%2e/templates/new.html", "", "nothing.js"):
        assert (await api.http.get(f"{api.origin}/static/{outside}")).status_code == 404


def test_scripts_write_no_markup_and_no_style() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text("utf-8")

        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert ".style" not in text, path
        imported = re.findall(r'from "\./([\w-]+\.js)"', text)
        assert [name for name in imported if not (STATIC / name).is_file()] == []
