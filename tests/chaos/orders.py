"""What the clients of a run ask for, drawn from its seed."""

import random

from pydantic import BaseModel, ConfigDict, TypeAdapter

from workflows.contracts.requests import Operation

PLANS = {
    "ann": "enterprise",
    "bob": "enterprise",
    "cat": "enterprise",
    "dan": "pro",
    "eve": "basic",
}
"""Users and their plans; eve asks for more than the ten videos of hers in any longer run."""

CLIENTS = 3
BATCH_SIZE = 5
BATCH_SHARE = 0.2
"""Of all generations, in batches."""
CANCEL_SHARE = 0.08
CANCEL_AFTER_S_MAX = 8.0


class Order(BaseModel):
    """One generation; the key is its name for ever, also for a client that was killed."""

    model_config = ConfigDict(frozen=True)

    key: str
    user_id: str
    operation: Operation
    text: str
    """Of the picture's prompt or the scene's title."""
    cancel_after_s: float | None = None


class Errand(BaseModel):
    """One call of a client: a single generation, or several as a batch."""

    model_config = ConfigDict(frozen=True)

    key: str
    user_id: str
    orders: tuple[Order, ...]
    is_batch: bool = False
    pause_s: float = 0.0
    """Before it."""


ERRANDS = TypeAdapter(list[Errand])


def errands_of(seed: int, generations: int, pause_s_max: float) -> list[list[Errand]]:
    """The errands of each client; together they are exactly `generations`."""
    dice = random.Random(f"orders {seed}")
    orders = [_order(dice, seed, number) for number in range(generations)]
    batched = int(generations * BATCH_SHARE) // BATCH_SIZE * BATCH_SIZE
    errands = [
        _batch(orders[first : first + BATCH_SIZE], seed) for first in range(0, batched, BATCH_SIZE)
    ]
    errands += [_single(order) for order in orders[batched:]]
    dice.shuffle(errands)
    paced = [each.model_copy(update={"pause_s": dice.uniform(0, pause_s_max)}) for each in errands]
    return [paced[client::CLIENTS] for client in range(CLIENTS)]


def _order(dice: random.Random, seed: int, number: int) -> Order:
    return Order(
        key=f"chaos-{seed}-{number}",
        user_id=dice.choice(sorted(PLANS)),
        operation=dice.choice(list(Operation)),
        text=f"chaos {seed}, number {number}",
        cancel_after_s=dice.uniform(0, CANCEL_AFTER_S_MAX)
        if dice.random() < CANCEL_SHARE
        else None,
    )


def _single(order: Order) -> Errand:
    return Errand(key=order.key, user_id=order.user_id, orders=(order,))


def _batch(orders: list[Order], seed: int) -> Errand:
    """A batch has one owner; it is refused as a whole, so not the one whose plan is small."""
    owner = next((each.user_id for each in orders if each.user_id != "eve"), "ann")
    return Errand(
        key=f"batch-{seed}-{orders[0].key}",
        user_id=owner,
        orders=tuple(order.model_copy(update={"user_id": owner}) for order in orders),
        is_batch=True,
    )
