"""The application: a router per noun, and one way to tell errors."""

from fastapi import FastAPI

from starter.api import health, webhooks
from starter.api.parts import Parts
from starter.api.problems import tell_problems


def create_app(parts: Parts) -> FastAPI:
    """The API over connected parts, which the caller closes after it.

    It shows no documentation of itself, and redirects nowhere: a redirect repeats the address.
    """
    app = FastAPI(
        title="Stillmotion",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    tell_problems(app)
    app.include_router(health.router)
    app.include_router(webhooks.router)
    return app
