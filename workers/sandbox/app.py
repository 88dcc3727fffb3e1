"""The sandbox's routes: which path asks for a key, which faults it can have and who answers it."""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan

from workers.sandbox import account, chat, controls, downloads, predictions, uploads
from workers.sandbox.faultboard import Area
from workers.sandbox.faults import RequestFault
from workers.sandbox.replies import Refusal, refused, spoiled
from workers.sandbox.sandbox import Sandbox, opened, sandbox_of
from workers.sandbox.settings import SandboxSettings
from workers.sandbox.wire import API, searched_text

Handler = Callable[[Request], Awaitable[Response]]
REFUSED_KEY = "refused"


def build_app(settings: SandboxSettings) -> Starlette:
    """An application that opens its data directory when a server starts it.

    Cut connections need the server of `serving`; `running` is the usual way to start one.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with opened(settings) as sandbox:
            app.state.sandbox = sandbox
            yield

    return _application(lifespan)


def app_of(sandbox: Sandbox) -> Starlette:
    """An application on a sandbox that is open already."""
    app = _application(None)
    app.state.sandbox = sandbox
    return app


def _application(lifespan: Lifespan[Starlette] | None) -> Starlette:
    return Starlette(
        routes=_routes(),
        lifespan=lifespan,
        exception_handlers={Refusal: _on_refusal, HTTPException: _on_http_error},
    )


def _routes() -> list[Route]:
    prediction = f"{API}/predictions/{{prediction_id}}"
    return [
        _keyed("GET", f"{prediction}/result", predictions.read, "poll"),
        _keyed("GET", prediction, predictions.read, "poll"),
        _keyed("DELETE", prediction, predictions.delete, "delete"),
        _keyed("POST", f"{API}/predictions/delete", predictions.delete_many, "delete"),
        _keyed("POST", f"{API}/predictions", predictions.search, "list"),
        _keyed("GET", f"{API}/models", account.models),
        _keyed("POST", f"{API}/model/price", account.price),
        _keyed("POST", f"{API}/model/pricing", account.older_price),
        _keyed("GET", f"{API}/balance", account.balance),
        _keyed("POST", f"{API}/billings/search", account.bills, "bills"),
        _keyed("GET", f"{API}/webhook/secret", account.webhook_secret),
        _keyed("POST", f"{API}/media/uploads", uploads.announce, "upload"),
        _keyed("POST", f"{API}/media/upload/binary", uploads.upload_whole, "upload"),
        _open("PUT", "/media/{upload_id}", uploads.fill, "upload"),
        _open("GET", "/media/{upload_id}/{filename}", uploads.serve),
        _open(
            "GET", "/outputs/{prediction_id}/{index:int}.mp4", downloads.serve_output, "download"
        ),
        _open("POST", "/v1/chat/completions", chat.complete),
        _open("GET", "/v1/models", chat.models),
        Route("/sandbox/health", controls.health, methods=["GET"]),
        Route("/sandbox/log", controls.log, methods=["GET"]),
        Route("/sandbox/faults", controls.show_faults, methods=["GET"]),
        Route("/sandbox/faults", controls.put_faults, methods=["POST"]),
        Route("/sandbox/faults", controls.clear_faults, methods=["DELETE"]),
        # Last, since a model id can look like any other path.
        _keyed("POST", f"{API}/{{model_id:path}}", predictions.submit),
    ]


def _keyed(method: str, path: str, handler: Handler, area: Area | None = None) -> Route:
    """A counted route that asks for the key first."""

    async def endpoint(request: Request) -> Response:
        _count(request, method, path)
        _check_key(request)
        fault = sandbox_of(request).board.take("any", RequestFault)
        if fault and (reply := await spoiled(fault)):
            return reply
        return await _spoiled_or(handler, request, area)

    return Route(path, endpoint, methods=[method])


def _open(method: str, path: str, handler: Handler, area: Area | None = None) -> Route:
    """A counted route without a key."""

    async def endpoint(request: Request) -> Response:
        _count(request, method, path)
        return await _spoiled_or(handler, request, area)

    return Route(path, endpoint, methods=[method])


async def _spoiled_or(handler: Handler, request: Request, area: Area | None) -> Response:
    sandbox = sandbox_of(request)
    # A submission takes its fault itself, since that may strike after the job was accepted.
    asked = sandbox.store.prediction(request.path_params.get("prediction_id", ""))
    text = searched_text(asked.model, asked.input) if asked else ""
    fault = sandbox.board.take(area, RequestFault, text) if area else None
    if fault and (reply := await spoiled(fault)):
        return reply
    return await handler(request)


def _count(request: Request, method: str, path: str) -> None:
    shape = path.replace(":path}", "}").replace(":int}", "}")
    sandbox_of(request).store.count(f"{method} {shape}")


def _check_key(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    wanted = sandbox_of(request).settings.api_key
    good = scheme == "Bearer" and key.strip() not in ("", REFUSED_KEY)
    if wanted is not None:
        good = good and secrets.compare_digest(key.encode(), wanted.get_secret_value().encode())
    if not good:
        raise Refusal(401, "the access key is missing or not valid")


async def _on_refusal(request: Request, error: Exception) -> Response:
    del request
    return refused(cast(Refusal, error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    del request
    http_error = cast(HTTPException, error)
    return refused(Refusal(http_error.status_code, http_error.detail))
