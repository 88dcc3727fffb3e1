"""The application: a router per noun, one way in, and one way to tell errors."""

from typing import Any

from fastapi import FastAPI
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from starter.api import (
    assets,
    batches,
    contents,
    estimates,
    events,
    generations,
    health,
    links,
    uploads,
    usage,
    webhooks,
)
from starter.api.bodies import Bodies, tell_bodies
from starter.api.entrance import Entrance
from starter.api.pages.site import add_pages
from starter.api.parts import Parts
from starter.api.problems import tell_problems
from starter.api.refusals import tell_refusals
from starter.api.replies import Replies
from starter.api.schemas import with_bodies


class _Application(FastAPI):
    """With `Replies` around all of it: also the reply to a fault of ours has an id.

    Its document says as well what the routes take that read their bodies themselves.
    """

    def build_middleware_stack(self) -> ASGIApp:
        return Replies(super().build_middleware_stack())

    def openapi(self) -> dict[str, Any]:
        return with_bodies(super().openapi())


def create_app(parts: Parts) -> FastAPI:
    """The API over connected parts, which the caller closes after it.

    It shows its document to callers only, and redirects nowhere: a redirect repeats the address.
    """
    app = _Application(
        title="Stillmotion",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
    )
    app.state.parts = parts
    tell_problems(app)
    tell_bodies(app)
    tell_refusals(app)
    app.include_router(health.router)
    app.include_router(webhooks.router)
    # The id of a generation is any text, so its events come before what has that alone.
    for noun in (events, generations, estimates, uploads, batches, assets, contents, links, usage):
        app.include_router(noun.router)
    add_pages(app)
    _guard(app, parts)
    return app


def _guard(app: FastAPI, parts: Parts) -> None:
    """What a request passes on its way in: `Bodies`, then the entrance. The last added is first.

    What is raised on the way is told as what a route raises is.
    """
    told = {kind: tell for kind, tell in app.exception_handlers.items() if kind is not Exception}
    app.add_middleware(Entrance, parts=parts)
    app.add_middleware(ExceptionMiddleware, handlers=told)
    app.add_middleware(Bodies)
