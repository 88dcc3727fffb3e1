"""What a sandbox can be told to do wrong, as typed data.

A plan names faults by area. Faults of a *request* (`any`, `submit`, `poll`, `list`, `upload`,
`delete`, `bills`, `download`, `chat`) apply to the next requests that match; `any` to every request
with a key. Faults of a *job* (`job`, `output`, `webhook`) are fixed when it is accepted and stay.
`POST /sandbox/faults` takes a plan; an area that it names is replaced, the others stay:

    {"submit": {"kind": "lost_reply", "times": 1}, "poll": [{"kind": "status", "code": 503}]}
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class Fault(BaseModel):
    """When a fault applies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    times: PositiveInt | None = None
    """So many matches, then never again; None for ever."""
    probability: float = Field(default=1.0, ge=0.0, le=1.0)
    """The share of the matches that are hit, drawn by `seed`: the same seed hits the same ones."""
    seed: int = 0
    match: str | None = None
    """Only where this text occurs: in the JSON of model and inputs (`submit`, `poll`, `delete`,
    `download`, faults of jobs), in the body (`chat`) or in the file's name (`deduplicated`)."""


class RequestFault(Fault):
    """Spoils one reply. `accepted` matters to submissions only: whether a job was made before."""

    accepted: bool = False


class StatusFault(RequestFault):
    """An HTTP error."""

    kind: Literal["status"]
    code: int = Field(default=503, ge=400, le=599)
    message: str = "the sandbox was told to fail"
    retry_after: int | str | None = None
    """The `Retry-After` header, as seconds or as an HTTP date."""

    @property
    def headers(self) -> dict[str, str] | None:
        """The extra headers of the reply."""
        return None if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class CutFault(RequestFault):
    """The connection is closed without a reply."""

    kind: Literal["cut"]


class SlowFault(RequestFault):
    """The reply comes late; a submitted job is accepted at once."""

    kind: Literal["slow"]
    delay_s: float = Field(default=5.0, ge=0)
    accepted: bool = True


class MalformedFault(RequestFault):
    """HTTP 200 with a body that isn't JSON."""

    kind: Literal["malformed"]
    body: str = '{"code":200,"message":"success","data":{"id":"'


class EnvelopeFault(RequestFault):
    """HTTP 200 whose envelope says that it failed."""

    kind: Literal["envelope"]
    code: int = 500
    message: str = "the sandbox was told to fail"


class RefusedFault(RequestFault):
    """The key is refused: 401."""

    kind: Literal["refused"]


class LostReplyFault(RequestFault):
    """The job is accepted and billed, then the connection is closed without a reply."""

    kind: Literal["lost_reply"]
    accepted: bool = True


class NoIdFault(RequestFault):
    """HTTP 200 with a sound envelope that lacks the prediction's id; the job is accepted."""

    kind: Literal["no_id"]
    accepted: bool = True


class CreditExhaustedFault(RequestFault):
    """402: the balance doesn't cover the run."""

    kind: Literal["credit_exhausted"]


class UnknownStatusFault(Fault):
    """A poll of an unfinished job answers a status that no document lists."""

    kind: Literal["unknown_status"]
    status: str = "in_queue"


class WithoutInputFault(Fault):
    """Listed rows lack `input`."""

    kind: Literal["without_input"]


class LagFault(Fault):
    """Rows younger than this are not listed yet."""

    kind: Literal["lag"]
    lag_s: float = Field(default=5.0, ge=0)


class DeduplicatedFault(Fault):
    """Equal uploads get one and the same URL."""

    kind: Literal["deduplicated"]


class UsdFloatsFault(Fault):
    """Bills are in USD floats instead of integer micro-USD."""

    kind: Literal["usd_floats"]


class WrongAmountFault(Fault):
    """Bills of other amounts than the price."""

    kind: Literal["wrong_amount"]
    factor: float = Field(default=10.0, ge=0)


class RefusalFault(Fault):
    """The chat model refuses to answer."""

    kind: Literal["refusal"]
    message: str = "I'm sorry, but I can't help with that."


class NonsenseFault(Fault):
    """The chat model answers text that is of no use, and no JSON."""

    kind: Literal["nonsense"]
    text: str = "blorp, blorp {{ 42 "


class FailedFault(Fault):
    """The job fails; the price is refunded."""

    kind: Literal["failed"]
    code: int = 1405
    message: str = "task failed"


class ModeratedFault(Fault):
    """The job fails content moderation (code 1200)."""

    kind: Literal["moderated"]


class EndedFault(Fault):
    """The job ends in one of the rarer final states."""

    kind: Literal["ended"]
    status: Literal["cancelled", "timeout", "deleted"] = "cancelled"


class HangFault(Fault):
    """The job stays in `processing` until the job faults are cleared."""

    kind: Literal["hang"]


class WorkFault(Fault):
    """The job takes another time than `--work-s`."""

    kind: Literal["work"]
    work_s: float = Field(ge=0)


class NoOutputsFault(Fault):
    """The job is completed and has no outputs."""

    kind: Literal["no_outputs"]


class NsfwFault(Fault):
    """The output is flagged as not safe for work."""

    kind: Literal["nsfw"]


class ObjectOutputsFault(Fault):
    """Outputs are objects with a `url`, not plain strings."""

    kind: Literal["object_outputs"]


class SeveralOutputsFault(Fault):
    """The job has several outputs: the video under so many URLs."""

    kind: Literal["several_outputs"]
    count: int = Field(default=2, ge=2, le=8)


class CutFileFault(Fault):
    """The file on disk ends early, Content-Length matches it: a faststart MP4 that still opens."""

    kind: Literal["cut_file"]
    fraction: float = Field(default=0.5, gt=0, lt=1)


class CutConnectionFault(Fault):
    """The connection breaks after this fraction of the body, for some downloads or for ever."""

    kind: Literal["cut_connection"]
    fraction: float = Field(default=0.5, ge=0, lt=1)
    downloads: PositiveInt | None = None


class HtmlFault(Fault):
    """An HTML page with status 200 in place of the video."""

    kind: Literal["html"]


class ExpiredFault(Fault):
    """The first URLs are refused with 403; reading the prediction again hands out a new one."""

    kind: Literal["expired"]
    urls: PositiveInt = 1


class OtherSizeFault(Fault):
    """The video has another size than was asked for."""

    kind: Literal["other_size"]
    width: int = Field(default=320, ge=2, le=3840)
    height: int = Field(default=180, ge=2, le=3840)


class OtherDurationFault(Fault):
    """The video has another duration than was asked for."""

    kind: Literal["other_duration"]
    duration_s: float = Field(default=1.0, gt=0, le=600)


class ReadyFault(Fault):
    """The video is one that was rendered before: a second of 320x180, the same for all."""

    kind: Literal["ready"]


class BigFault(Fault):
    """The video is padded to this size: it still plays. Sparse on disk, never held in memory."""

    kind: Literal["big"]
    size_bytes: int = Field(default=300_000_000, ge=1)


class WebhookLostFault(Fault):
    """The webhook is never sent."""

    kind: Literal["lost"]


class WebhookTwiceFault(Fault):
    """The webhook is delivered twice."""

    kind: Literal["twice"]


class WebhookLateFault(Fault):
    """The webhook comes late."""

    kind: Literal["late"]
    delay_s: float = Field(default=5.0, ge=0)


class WebhookForgedFault(Fault):
    """The webhook's signature is wrong."""

    kind: Literal["forged"]


AnyReply = StatusFault | CutFault | SlowFault | MalformedFault | EnvelopeFault
JobFault = (
    FailedFault | ModeratedFault | EndedFault | HangFault | WorkFault | NoOutputsFault | NsfwFault
)
OutputFault = (
    ObjectOutputsFault
    | SeveralOutputsFault
    | CutFileFault
    | CutConnectionFault
    | HtmlFault
    | ExpiredFault
    | OtherSizeFault
    | OtherDurationFault
    | ReadyFault
    | BigFault
)
WebhookFault = WebhookLostFault | WebhookTwiceFault | WebhookLateFault | WebhookForgedFault
KeptFault = Annotated[JobFault | OutputFault | WebhookFault, Field(discriminator="kind")]
"""A fault that is fixed when a job is accepted."""
