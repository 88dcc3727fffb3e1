"""Task queues and search attributes: names on the wire, the same for every process and language."""

from enum import StrEnum

from temporalio.common import SearchAttributeKey


class TaskQueue(StrEnum):
    """One queue per kind of resource, so that a pool can be scaled by what it runs out of."""

    GENERATIONS = "stillmotion"  # workflows, and activities that only touch PostgreSQL
    SUBMIT = "stillmotion-submit"  # the paid POST: few slots, the server-side rate limit
    RECONCILE = "stillmotion-reconcile"  # doubts: few slots, beside the rate limit of submits
    POLL = "stillmotion-poll"  # what waits for others: a job, an LLM, a receiver; many slots
    MEDIA = "stillmotion-media"  # bandwidth, disk and decoding: few slots


USER = SearchAttributeKey.for_keyword("StillmotionUser")
"""The user id's keyed hash, never the id: search attributes are not encrypted."""
OPERATION = SearchAttributeKey.for_keyword("StillmotionOperation")
SOURCE = SearchAttributeKey.for_keyword("StillmotionSource")
MODEL = SearchAttributeKey.for_keyword("StillmotionModel")
STATUS = SearchAttributeKey.for_keyword("StillmotionStatus")

SEARCH_ATTRIBUTES = (USER, OPERATION, SOURCE, MODEL, STATUS)
