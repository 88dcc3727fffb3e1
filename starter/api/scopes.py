"""What a caller may see: what belongs to its user, of the products that its key is for.

Everything else is 404, exactly as if it were not there. Ids are whole ones: a beginning of one
would find what its caller never knew of.
"""

from activities.batches.reading import UnknownBatch
from activities.generations.repository import GENERATION_ID_CHARACTERS_MAX, UnknownGeneration
from starter.api.callers import Caller
from starter.api.parts import Parts
from starter.api.refusals import unknown
from starter.handles import GenerationHandle
from workflows.contracts.batch_results import Batch
from workflows.contracts.requests import Source
from workflows.contracts.results import Generation
from workflows.contracts.texts import storable


async def owned(parts: Parts, caller: Caller, generation_id: str) -> GenerationHandle:
    """A handle on one generation of the caller's.

    Raises:
        Problem: 404.
    """
    await generation_of(parts, caller, generation_id)
    return GenerationHandle(parts.client, generation_id, caller.user_id)


async def generation_of(parts: Parts, caller: Caller, generation_id: str) -> Generation:
    """One generation of the caller's.

    Raises:
        Problem: 404.
    """
    if not _can_be_an_id(generation_id):
        raise unknown("generation")
    try:
        generation = await parts.client.reader.read(generation_id, caller.user_id)
    except UnknownGeneration:
        raise unknown("generation") from None
    if generation.source not in caller.sources:
        raise unknown("generation")
    return generation


async def batch_of(parts: Parts, caller: Caller, batch_id: str) -> Batch:
    """One batch of the caller's.

    Raises:
        Problem: 404.
    """
    if not _can_be_an_id(batch_id):
        raise unknown("batch")
    try:
        batch = await parts.client.batches.reader.read(batch_id, caller.user_id)
    except UnknownBatch:
        raise unknown("batch") from None
    if batch.source not in caller.sources:
        raise unknown("batch")
    return batch


def sources_of(caller: Caller) -> tuple[Source, ...] | None:
    """The products that a list is narrowed to; None where the key is for all of them."""
    return None if set(caller.sources) == set(Source) else caller.sources


def _can_be_an_id(text: str) -> bool:
    """Whether it can be looked for: PostgreSQL refuses what it can't store."""
    try:
        return len(storable(text)) <= GENERATION_ID_CHARACTERS_MAX
    except ValueError:
        return False
