"""The pages, their scripts and their style, as parts of the application."""

import os
from http import HTTPStatus

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from starter.api.pages import gallery, making, signing, spending, stills
from starter.api.pages.rendering import STATIC

STATIC_PATH = "/static"
"""Below it nothing is anybody's: it answers without a key."""


class _Files(StaticFiles):
    """Scripts and style: kept by browsers, and asked for anew by each page: releases differ."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = HTTPStatus.OK,
    ) -> Response:
        """The file, or that it is the same still."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def add_pages(app: FastAPI) -> None:
    """Add every page to the application."""
    app.mount(STATIC_PATH, _Files(directory=STATIC), name="static")
    for each in (signing, stills, gallery, making, spending):
        app.include_router(each.router)
