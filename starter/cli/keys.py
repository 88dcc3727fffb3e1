"""Keys of the HTTP API: `keys make`, `list`, `rotate` and `revoke`; an operator's verbs."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from activities.access.keys import KEEP_OLD_S, KEEP_OLD_S_MAX, REQUESTS_PER_MINUTE
from starter.cli.context import Context, Ctx, operators_database
from starter.cli.describing import local
from starter.cli.flags import Whole
from starter.cli.output import Fields, Table
from starter.cli.refusals import DONE, USAGE, NotDone, Usage
from workflows.contracts.requests import Source

if TYPE_CHECKING:
    from pydantic import ValidationError

    from activities.access.keys import Key
    from activities.access.repository import ListedKey, UnknownKey

KeyName = Annotated[str, Parameter(help="Its id or name")]

_FLAGS = {"name": "NAME", "user_id": "--user", "requests_per_minute": "--requests-per-minute"}
_ONCE = "The secret is shown this once. Requests send it: `Authorization: Bearer sm_…`"


async def make_key(
    name: Annotated[str, Parameter(help="What people call it, such as the product and its place")],
    *,
    sources: Annotated[
        str, Parameter(help="Whom it asks for, separated by commas; the first is the default")
    ],
    user: Annotated[
        str | None,
        Parameter(help="The one user that it acts for [default: whoever each request names]"),
    ] = None,
    requests_per_minute: Annotated[
        Whole, Parameter(help="How fast it may ask; a tenth of them at once")
    ] = REQUESTS_PER_MINUTE,
    ctx: Ctx,
) -> int:
    """Make a key of the HTTP API, and print its secret once; an operator's verb.

    For example: stillmotion keys make story-writer --sources story_writer,api
    """
    from pydantic import ValidationError

    from activities.access import repository

    wanted = _sources(sources)
    async with operators_database(ctx) as pool:
        try:
            made = await repository.make(
                pool, name, wanted, user_id=user, requests_per_minute=requests_per_minute
            )
        except ValidationError as error:
            raise _not_a_key(error) from None
        except repository.NameTaken as error:
            again = ctx.command("keys", "rotate", name)
            raise NotDone(f"NAME: {error}.", f"A new secret for it: {again}", USAGE) from None
    document = {**made.key.model_dump(mode="json"), "secret": made.secret}
    rows = [*_rows(made.key), ("secret", made.secret)]
    ctx.output.value(document, Fields(rows), bare=made.secret)
    ctx.output.note(_ONCE)
    return DONE


async def list_keys(*, ctx: Ctx) -> int:
    """List the keys of the HTTP API, those that were revoked too; never their secrets.

    For example: stillmotion keys list
    """
    from activities.access import repository

    async with operators_database(ctx) as pool:
        found = await repository.listed(pool)
    table = Table(
        ("key", "name", "sources", "user", "a minute", "made", "state"),
        [_row(key) for key in found],
        droppable=("made", "a minute"),
    )
    bare = [key.key_id for key in found]
    ctx.output.rows(found, table if found else "No keys.", bare=bare)
    return DONE


async def rotate_key(
    key: KeyName,
    *,
    keep_old: Annotated[
        Whole, Parameter(help="Seconds for which the secret before stays good; 0 ends it now")
    ] = KEEP_OLD_S,
    ctx: Ctx,
) -> int:
    """Make a new secret for a key, and print it once; the one before stays good for a while.

    For example: stillmotion keys rotate story-writer --keep-old 3600
    """
    from activities.access import repository

    if not 0 <= keep_old <= KEEP_OLD_S_MAX:
        raise Usage(f"--keep-old: {keep_old}; allowed: 0 to {KEEP_OLD_S_MAX} seconds.")
    async with operators_database(ctx) as pool:
        try:
            rotated = await repository.rotate(pool, key, keep_old_s=keep_old)
        except repository.UnknownKey as error:
            raise _unknown(ctx, error) from None
    until = rotated.old_until
    document = {
        **rotated.key.model_dump(mode="json"),
        "secret": rotated.secret,
        "old_until": until.isoformat() if until else None,
    }
    rows = [
        *_rows(rotated.key),
        ("secret", rotated.secret),
        ("the one before", f"is good until {local(until)}" if until else "has ended"),
    ]
    ctx.output.value(document, Fields(rows), bare=rotated.secret)
    ctx.output.note(_ONCE)
    return DONE


async def revoke_key(key: KeyName, *, ctx: Ctx) -> int:
    """End a key and every session that began with it, within seconds and for good.

    For example: stillmotion keys revoke story-writer
    """
    from activities.access import repository

    async with operators_database(ctx) as pool:
        try:
            revoked = await repository.revoke(pool, key)
        except repository.UnknownKey as error:
            raise _unknown(ctx, error) from None
    document = {"key_id": revoked.key_id, "name": revoked.name, "revoked": True}
    told = f"{revoked.name} ({revoked.key_id}) is revoked; it ends within seconds."
    ctx.output.value(document, told, bare=revoked.key_id)
    return DONE


def _sources(typed: str) -> list[Source]:
    names = [each.strip() for each in typed.split(",")]
    allowed = [source.value for source in Source]
    unknown = next((name for name in names if name not in allowed), None)
    if unknown is not None:
        raise Usage(f"--sources: {unknown!r}; allowed: {', '.join(allowed)}, by commas.")
    return [Source(name) for name in names]


def _not_a_key(error: "ValidationError") -> Usage:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = str(first["loc"][0])
    told = first["msg"].removeprefix("Value error, ")
    return Usage(f"{_FLAGS.get(field, field)}: {told}.", "See: stillmotion keys make --help")


def _unknown(ctx: Context, error: "UnknownKey") -> NotDone:
    return NotDone(f"KEY: {error}.", f"See: {ctx.command('keys', 'list')}", USAGE)


def _rows(key: "Key") -> list[tuple[str, str | None]]:
    return [
        ("key", key.key_id),
        ("name", key.name),
        ("sources", ", ".join(key.sources)),
        ("user", key.user_id or "whoever each request names"),
        ("requests a minute", str(key.requests_per_minute)),
    ]


def _row(key: "ListedKey") -> tuple[str, ...]:
    if key.revoked_at is not None:
        state = f"revoked {local(key.revoked_at)}"
    elif key.old_secret_until is not None:
        state = f"good; an old secret too until {local(key.old_secret_until)}"
    else:
        state = "good"
    return (
        key.key_id,
        key.name,
        ", ".join(key.sources),
        key.user_id or "any",
        str(key.requests_per_minute),
        local(key.made_at),
        state,
    )
