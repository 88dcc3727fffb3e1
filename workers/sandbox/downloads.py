"""The endpoint that hands out rendered videos: no key, the URL itself is the permission."""

from starlette.requests import Request
from starlette.responses import Response

from workers.sandbox.outputs import is_expired, signed_version, video_response
from workers.sandbox.replies import Refusal
from workers.sandbox.sandbox import sandbox_of


async def serve_output(request: Request) -> Response:
    """`GET /outputs/{id}/{index}.mp4`: the whole file or ranges of it."""
    sandbox = sandbox_of(request)
    prediction = sandbox.store.prediction(request.path_params["prediction_id"])
    if prediction is None or not prediction.has_output:
        raise Refusal(404, "file not found")
    version = signed_version(request, prediction.id, sandbox.secret)
    if is_expired(prediction, version):
        newest = max(prediction.url_version, version + 1)
        sandbox.store.save_prediction(prediction.changed(url_version=newest))
        raise Refusal(403, "the request has expired")
    sandbox.store.save_prediction(prediction.changed(downloads=prediction.downloads + 1))
    return video_response(sandbox.jobs.output_path(prediction), prediction)
