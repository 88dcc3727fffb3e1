"""What `image-to-video`, `animate-scene` and `talking-avatar` have in common: the shared flags."""

from collections.abc import Callable

import pytest

from tests.starter.conftest import (
    CHELSEA,
    COFFEE,
    NOTHING,
    PORTRAIT,
    SPEECH,
    Cli,
    Pictures,
    Stack,
)

VERBS: dict[str, Callable[[Pictures], tuple[str, ...]]] = {
    "image-to-video": lambda _: (COFFEE, "--prompt", "steam", "--resolution", "480p"),
    "animate-scene": lambda p: (CHELSEA, "--scene", p.json("scene.json", {"title": "A cat"})),
    "talking-avatar": lambda _: (PORTRAIT, SPEECH),
}
SHARED = {
    *("--model", "--user", "--source", "--id", "--wait", "--detach", "--timeout", "--max-cost"),
    *("--dry-run", "--yes", "--save", "--callback-url", "--output", "--data-dir"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_has_every_flag_that_they_share(verb: str, idle_cli: Cli) -> None:
    ran = await idle_cli(verb, "--help")

    told = set(ran.out.replace("│", " ").split())
    assert told >= SHARED


@pytest.mark.parametrize("verb", VERBS)
async def test_after_the_timeout_each_verb_ends_with_6_and_names_the_command_to_go_on(
    verb: str, idle_cli: Cli, user: str, pictures: Pictures
) -> None:
    words = VERBS[verb](pictures)

    ran = await idle_cli(verb, *words, "--user", user, "--timeout", "0", "-o", "json")

    assert (ran.code, ran.json["status"]) == (6, "running")
    assert f"Watch: stillmotion watch {ran.json['generation_id']}" in ran.err


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_keeps_to_the_callers_own_limit(
    verb: str, idle_cli: Cli, idle_stack: Stack, user: str, pictures: Pictures
) -> None:
    words = (verb, *VERBS[verb](pictures), "--user", user, "--max-cost", "0.01")

    refused = await idle_cli(*words)
    quoted = await idle_cli(*words, "--dry-run", "-o", "json")

    assert (refused.code, quoted.code) == (4, 4)
    assert "the limit $0.01. Nothing was charged." in refused.err
    assert quoted.json["allowed"] is False
    assert await idle_stack.rows_of(user) == NOTHING


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_passes_the_callback_address_and_the_source_on(
    verb: str, idle_cli: Cli, idle_stack: Stack, user: str, pictures: Pictures
) -> None:
    # Another test may have made the secret already.
    await idle_cli("callbacks", "secret", "image_studio")
    words = (*VERBS[verb](pictures), "--user", user, "--source", "image_studio")

    ran = await idle_cli(verb, *words, "--callback-url", "https://example.com/told", "-o", "json")

    assert ran.code == 0, ran
    kept = await idle_stack.database.fetchrow(
        "SELECT source, request::jsonb ->> 'callback_url' AS url FROM generations"
        " WHERE generation_id = $1",
        ran.json["generation_id"],
    )
    assert kept is not None
    assert tuple(kept) == ("image_studio", "https://example.com/told")
