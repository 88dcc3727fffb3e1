"""What a worker would refuse in a moment, refused before the start, for callers who don't wait.

Whoever asks by HTTP goes away once the generation is accepted, and should not learn a minute later
that a picture is too small. Nothing is held here, and no URL is visited: whether the plan has room,
and what stands at a URL, is decided by the reservation.
"""

from collections.abc import Sequence

from activities.batches.repository import ItemRefused
from activities.ledger.pricing import checks
from starter.client import VideoClient
from workflows.contracts.failures import RequestRefused
from workflows.contracts.media import MediaById
from workflows.contracts.quoting import choose
from workflows.contracts.requests import GenerationRequest


async def screen(client: VideoClient, request: GenerationRequest) -> None:
    """Refuse what is known to be refused. A request whose key is known costs nothing: it may pass.

    Raises:
        RequestRefused: stored media isn't this user's or doesn't fit the model, the plan or a cap
            has no room, or there is no plan.
        MediaError: the store gave no answer.
    """
    if await client.launcher.knows(request):
        return
    references = (request.media | request.documents).values()
    if not all(isinstance(reference, MediaById) for reference in references):
        await _require_stored(client, request)
        return
    refusal = (await client.estimate(request)).refusal
    if refusal is not None:
        raise RequestRefused(refusal.kind, refusal.message)


async def screen_items(client: VideoClient, requests: Sequence[GenerationRequest]) -> None:
    """Refuse items whose stored media is known to be refused; the whole is priced by its workflow.

    Raises:
        ItemRefused: the first such item.
    """
    for position, request in enumerate(requests, start=1):
        try:
            await _require_stored(client, request)
        except RequestRefused as refused:
            raise ItemRefused(position, refused) from refused


async def _require_stored(client: VideoClient, request: GenerationRequest) -> None:
    """Look each media id up, whose facts are known since its upload."""
    entry = choose(client.catalogue, request)
    for role, reference in (request.media | request.documents).items():
        if isinstance(reference, MediaById):
            await client.inputs.resolve(request.user_id, reference, role, checks(entry, role))
