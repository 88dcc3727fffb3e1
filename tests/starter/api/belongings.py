"""Everything that one user has, and everybody who is not to meet it."""

import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from activities.database.pool import Pool
from tests.starter.api.conftest import Api
from tests.starter.api.holders import a_browser, a_holder
from tests.starter.api.products import Product, a_user
from tests.starter.api.shelves import filed
from tests.starter.conftest import CHELSEA, COFFEE, SPEECH, Stack
from workflows.contracts.media import Role
from workflows.contracts.requests import Source

SOURCE = Source.API
"""The product of what the owner has."""

NOBODYS = "a" * 26
"""Behind the prefix of any id: as long as a real one, and of nothing that there is."""

OUTSIDERS = (
    "another user by the same key",
    "another user by a key for every product",
    "another user by a key of their own",
    "another user's browser",
    "another product for the same user",
    "another product's browser for the same user",
)


class Outsider(NamedTuple):
    """Somebody who may see nothing of the owner's."""

    user: str
    source: Source
    """The product of what they have themselves."""
    headers: dict[str, str]


class Belongings(NamedTuple):
    """What the owner has. Each thing's texts hold the word."""

    user: str
    word: str
    generations: tuple[str, ...]
    """One that waits for a worker, and a finished one."""
    batches: tuple[str, ...]
    assets: tuple[str, ...]
    media: Mapping[Role, str]
    idempotency_key: str
    files: tuple[str, ...]
    """Keys in the media store."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of everything."""
        return (*self.generations, *self.batches, *self.assets, *self.media.values())

    def found_in(self, text: str, reader: str) -> list[str]:
        """What of it a text tells; the owner's own name is no news to a reader of that name."""
        known = (*self.ids, self.word, self.user)
        return [each for each in known if each in text and each != reader]


async def belongings_of(api: Api, product: Product, user: str) -> Belongings:
    """A user with something of every kind, on a plan with room for it."""
    await api.stack.database.execute(
        "INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'enterprise')", user
    )
    word, key = f"zq{secrets.token_hex(6)}", secrets.token_hex(8)
    media = await _media(product, user, word)
    started = await product.started(user, prompt=f"{word} on a calm sea", idempotency_key=key)
    scene = {
        "operation": "scene-animation",
        "image": {"media_id": media["mask_image"]},
        "scene": {"title": word},
    }
    batch = await product.post("/v1/batches", user, json={"items": [scene]})
    assert batch.status_code == 202, batch.text
    video = await filed(api, user, source=SOURCE.value)
    edited = await product.ask("PATCH", video.path, user, json={"title": word, "tags": [word]})
    assert edited.status_code == 200, edited.text
    assert video.poster_key is not None
    return Belongings(
        user,
        word,
        (started["generation_id"], video.generation_id),
        (batch.json()["batch_id"],),
        (video.asset_id,),
        media,
        key,
        (video.key, video.poster_key),
    )


async def _media(product: Product, user: str, word: str) -> dict[Role, str]:
    """A file in every role."""
    documents: dict[Role, dict[str, str]] = {
        "scene": {"title": word},
        "story_context": {"setting": word},
    }
    files: dict[Role, str] = {"image": COFFEE, "audio": SPEECH, "mask_image": CHELSEA}
    stored: dict[Role, str] = {}
    for role, file in files.items():
        stored[role] = (await product.uploaded(user, file, role))["media_id"]
    for role, document in documents.items():
        body = json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        path = f"/v1/uploads?role={role}"
        reply = await product.post(path, user, headers=headers, content=body)
        assert reply.status_code == 201, reply.text
        stored[role] = reply.json()["media_id"]
    return stored


async def outsiders_of(
    api: Api, pool: Pool, product: Product, other: Product, owner: str
) -> dict[str, Outsider]:
    """Each of `OUTSIDERS`: users whom nobody has seen, and the owner's by another product."""
    users = [a_user() for _ in range(4)]
    everything = await a_holder(pool, sources=[each.value for each in Source])
    own = await a_holder(pool, user_id=users[2])
    page = a_browser(api.parts, product.holder.key.key_id, users[3])
    others_page = a_browser(api.parts, other.holder.key.key_id, owner)
    (source,) = other.holder.key.sources
    made = (
        Outsider(users[0], SOURCE, product.holder.headers(users[0])),
        Outsider(users[1], SOURCE, everything.headers(users[1])),
        Outsider(users[2], SOURCE, own.headers(None)),
        Outsider(users[3], SOURCE, page.headers(api.origin)),
        Outsider(owner, source, other.holder.headers(owner)),
        Outsider(owner, source, others_page.headers(api.origin)),
    )
    return dict(zip(OUTSIDERS, made, strict=True))


async def file_something(api: Api, pool: Pool, outsider: Outsider) -> None:
    """A video and a batch of an outsider's own: lists have them after what is newer."""
    video = await filed(api, outsider.user, source=outsider.source.value)
    await pool.execute(
        "INSERT INTO batches (batch_id, user_id, idempotency_key, request_hash, source,"
        " max_parallel) VALUES ($1, $2, $1, '', $3, 1)",
        video.generation_id.replace("gen_", "bat_"),
        outsider.user,
        outsider.source.value,
    )


async def rows_of(stack: Stack, user: str) -> dict[str, list[str]]:
    """Every row that is a user's, of whatever table there is: by the user, by what they have."""
    tables = await stack.database.fetch(
        "SELECT c.table_name AS name, array_agg(c.column_name::text) AS columns"
        " FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE t.table_type = 'BASE TABLE' AND table_schema = current_schema()"
        " AND c.column_name IN ('user_id', 'generation_id', 'batch_id') GROUP BY 1"
    )
    of_user = {
        "user_id": "user_id = $1",
        "generation_id": "generation_id IN"
        " (SELECT g.generation_id FROM generations g WHERE g.user_id = $1)",
        "batch_id": "batch_id IN (SELECT b.batch_id FROM batches b WHERE b.user_id = $1)",
    }
    found = dict[str, list[str]]()
    for table in tables:
        those = " OR ".join(of_user[column] for column in table["columns"])
        rows = await stack.database.fetch(
            f"SELECT to_jsonb(t)::text AS row FROM {table['name']} t WHERE {those} ORDER BY 1",
            user,
        )
        found[table["name"]] = [row["row"] for row in rows]
    return found


async def counts_of(stack: Stack, user: str) -> dict[str, int]:
    """How many rows a user has in each table: their own files are used by what they ask for."""
    return {table: len(rows) for table, rows in (await rows_of(stack, user)).items()}


async def state_of(api: Api, things: Belongings) -> dict[str, Any]:
    """All that there is of the owner: rows, what the workflows were told, files."""
    told = {
        workflow_id: await _events(api, workflow_id)
        for workflow_id in (things.generations[0], *things.batches)
    }
    store = api.parts.client.store
    files = [await store.head(key) is not None for key in things.files]
    return {"rows": await rows_of(api.stack, things.user), "told": told, "files": files}


async def _events(api: Api, workflow_id: str) -> int:
    """How long a workflow's history is: a signal or a cancel makes it longer."""
    described = await api.client.temporal.get_workflow_handle(workflow_id).describe()
    return described.history_length
