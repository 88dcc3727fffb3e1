"""What carries a trace through Temporal: from the client to the workflow and its activities.

    StartWorkflow            the client's, or nothing where a caller sends no place of a trace
    └─ RunWorkflow           then this is the root, under ids that follow from the run's
       ├─ RunActivity        an attempt: what it asks of others hangs below it
       │  ├─ POST /media/uploads
       │  └─ CompleteActivity
       └─ CompleteWorkflow

The SDK's own interceptors hang spans on attempts that are told at their end, which a killed worker
never does, start a trace for each step of a workflow that came without one, and tell an error with
its words. The header is theirs, so that traces of callers in other languages go on here.
"""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from opentelemetry.trace import SpanKind
from temporalio import activity, client, worker, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Interceptor
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError

from activities.tracing import exporting
from activities.tracing.exporting import Carrier, Exported, Mark
from activities.tracing.spans import TRACE_ID, Value

HEADER = "_tracer-data"

_PLACE, _MARK = "stillmotion_trace_place", "stillmotion_trace_mark"

OWN_TREES = {"Batch"}
"""Whose children begin trees of their own: five hundred videos in one could not be read."""


class TraceInterceptor(Interceptor, worker.Interceptor):
    """For a client, and so for the workers that are made with it."""

    def __init__(self, exported: Exported) -> None:
        self._exported = exported

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002 - the SDK's name
        """What is started, signalled and updated."""
        return _Client(next, self._exported)

    def intercept_activity(
        self,
        next: worker.ActivityInboundInterceptor,  # noqa: A002 - the SDK's name
    ) -> worker.ActivityInboundInterceptor:
        """Each attempt."""
        return _Activity(next, self._exported)

    def workflow_interceptor_class(
        self,
        input: worker.WorkflowInterceptorClassInput,  # noqa: A002 - the SDK's name
    ) -> type[worker.WorkflowInboundInterceptor]:
        """Each run; spans are made outside of its sandbox."""
        input.unsafe_extern_functions[_PLACE] = self._place_of
        input.unsafe_extern_functions[_MARK] = self._exported.mark_as
        return _Workflow

    def _place_of(self, header: Payload | None, seed: str, name: str) -> tuple[Carrier, bool]:
        """Where a run stands: at the place that it was given, or as a root. Whether it is one."""
        given = _read(header)
        return (given, False) if given else (self._exported.root_of(seed, name), True)


class _Client(client.OutboundInterceptor):
    def __init__(self, next: client.OutboundInterceptor, exported: Exported) -> None:  # noqa: A002
        super().__init__(next)
        self._exported = exported

    async def start_workflow(
        self,
        input: client.StartWorkflowInput,  # noqa: A002
    ) -> client.WorkflowHandle[Any, Any]:
        name = f"StartWorkflow:{input.workflow}"
        with self._exported.call(name, {"workflow_id": input.id}):
            input.headers = _with_place(input.headers, exporting.here())
            return await super().start_workflow(input)

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:  # noqa: A002
        name = f"SignalWorkflow:{input.signal}"
        with self._exported.call(name, {"workflow_id": input.id}):
            input.headers = _with_place(input.headers, exporting.here())
            await super().signal_workflow(input)

    async def start_workflow_update(
        self,
        input: client.StartWorkflowUpdateInput,  # noqa: A002
    ) -> client.WorkflowUpdateHandle[Any]:
        name = f"UpdateWorkflow:{input.update}"
        with self._exported.call(name, {"workflow_id": input.id}):
            input.headers = _with_place(input.headers, exporting.here())
            return await super().start_workflow_update(input)


class _Activity(worker.ActivityInboundInterceptor):
    def __init__(self, next: worker.ActivityInboundInterceptor, exported: Exported) -> None:  # noqa: A002
        super().__init__(next)
        self._exported = exported

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        with self._attempt(_read(input.headers.get(HEADER))):
            return await super().execute_activity(input)

    @contextmanager
    def _attempt(self, at: Carrier) -> Generator[None]:
        name, began_ns = activity.info().activity_type, time.time_ns()
        begun = Mark(f"RunActivity:{name}", began_ns, began_ns, _waited(), SpanKind.SERVER)
        place = self._exported.mark(at, begun)
        # Not reset: an attempt is a task of its own, and the SDK still logs its end in it.
        TRACE_ID.set(exporting.trace_id_of(place))
        outcome, error = "completed", ""
        try:
            with exporting.at_place(place):
                yield
        except BaseException as raised:
            outcome, error = _outcome_of(raised)
            raise
        finally:
            told: dict[str, Value] = {"stillmotion.outcome": outcome}
            end = Mark(f"CompleteActivity:{name}", began_ns, time.time_ns(), told, error=error)
            self._exported.mark(place, end)


class _Workflow(worker.WorkflowInboundInterceptor):
    """In the sandbox: it decides by what replays alike, and tells nothing while it does."""

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound, self))

    def place(self) -> tuple[Carrier, bool]:
        """Where this run stands in a trace, and whether it is the root there."""
        info = workflow.info()
        place_of = workflow.extern_functions()[_PLACE]
        header = info.headers.get(HEADER)
        return place_of(header, info.first_execution_run_id, f"RunWorkflow:{info.workflow_type}")

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:  # noqa: A002, ANN401
        info = workflow.info()
        at, is_root = self.place()
        TRACE_ID.set(exporting.trace_id_of(at))
        self._tell(
            f"RunWorkflow:{info.workflow_type}",
            {} if is_root else at,
            seed=info.first_execution_run_id if is_root else info.run_id,
        )
        try:
            result = await super().execute_workflow(input)
        except workflow.ContinueAsNewError:
            self._end(at, "continued")
            raise
        except FailureError as raised:
            self._end(at, *_outcome_of(raised))
            raise
        self._end(at, "completed")
        return result

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:  # noqa: A002
        self._handle(f"HandleSignal:{input.signal}", input.headers)
        await super().handle_signal(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:  # noqa: A002, ANN401
        self._handle(f"HandleUpdate:{input.update}", input.headers)
        return await super().handle_update_handler(input)

    def _handle(self, name: str, headers: Mapping[str, Payload]) -> None:
        at, _ = self.place()
        TRACE_ID.set(exporting.trace_id_of(at))
        seed = f"{workflow.info().run_id} {name} {workflow.info().get_current_history_length()}"
        self._tell(name, at, seed=seed, linked=_read(headers.get(HEADER)))

    def _end(self, at: Carrier, outcome: str, error: str = "") -> None:
        info = workflow.info()
        began_ns = int(info.start_time.timestamp() * 1e9)
        self._tell(
            f"CompleteWorkflow:{info.workflow_type}",
            at,
            seed=f"{info.run_id} end",
            began_ns=began_ns,
            outcome=outcome,
            error=error,
        )

    def _tell(  # noqa: PLR0913 - a span has many sides
        self,
        name: str,
        at: Carrier,
        *,
        seed: str,
        began_ns: int | None = None,
        outcome: str = "",
        error: str = "",
        linked: Carrier | None = None,
    ) -> None:
        if workflow.unsafe.is_replaying():
            return
        info, now_ns = workflow.info(), workflow.time_ns()
        told: dict[str, Value] = {
            "temporalWorkflowID": info.workflow_id,
            "temporalRunID": info.run_id,
        }
        if outcome:
            told["stillmotion.outcome"] = outcome
        if info.parent is not None:
            told["stillmotion.parent_workflow_id"] = info.parent.workflow_id
        mark = Mark(name, began_ns or now_ns, now_ns, told, SpanKind.SERVER, error)
        workflow.extern_functions()[_MARK](seed, at, mark, linked=linked)


class _Outbound(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor, run: _Workflow) -> None:  # noqa: A002
        super().__init__(next)
        self._run = run

    def continue_as_new(self, input: worker.ContinueAsNewInput) -> NoReturn:  # noqa: A002
        input.headers = self._with_place(input.headers)
        super().continue_as_new(input)

    def start_activity(self, input: worker.StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = self._with_place(input.headers)
        return super().start_activity(input)

    def start_local_activity(
        self,
        input: worker.StartLocalActivityInput,  # noqa: A002
    ) -> workflow.ActivityHandle[Any]:
        input.headers = self._with_place(input.headers)
        return super().start_local_activity(input)

    async def start_child_workflow(
        self,
        input: worker.StartChildWorkflowInput,  # noqa: A002
    ) -> workflow.ChildWorkflowHandle[Any, Any]:
        if workflow.info().workflow_type not in OWN_TREES:
            input.headers = self._with_place(input.headers)
        return await super().start_child_workflow(input)

    def _with_place(self, headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
        return _with_place(headers, self._run.place()[0])


def _with_place(headers: Mapping[str, Payload], place: Carrier) -> Mapping[str, Payload]:
    if not place:
        return headers
    return {**headers, HEADER: PayloadConverter.default.to_payload(place)}


def _read(header: Payload | None) -> Carrier:
    """The place that a header names; empty where there is none, or a stranger's that says none."""
    if header is None:
        return {}
    try:
        return exporting.place_in(PayloadConverter.default.from_payload(header))
    except Exception:  # noqa: BLE001 - whatever it is, it must not stop a workflow
        return {}


def _waited() -> dict[str, Value]:
    """How long the attempt was kept waiting for a worker, in seconds."""
    info = activity.info()
    waited = info.started_time - info.current_attempt_scheduled_time
    return {"stillmotion.waited_s": waited.total_seconds()}


def _outcome_of(raised: BaseException) -> tuple[str, str]:
    """How it ended, and the same as an error where it is one; types only, no words."""
    if isinstance(raised, ApplicationError):
        kind = raised.type or type(raised).__name__
        is_expected = raised.category is ApplicationErrorCategory.BENIGN
        return kind, "" if is_expected else kind
    name = type(raised).__name__
    return ("cancelled", "") if "Cancelled" in name else (name, name)
