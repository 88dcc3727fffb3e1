"""Runs jobs: from accepted to completed or failed, each exactly once, also across a SIGKILL."""

import asyncio
import json
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from workers.sandbox.catalogue import MODELS, Model
from workers.sandbox.faults import (
    EndedFault,
    FailedFault,
    HangFault,
    ModeratedFault,
    NoOutputsFault,
    ReadyFault,
    WebhookForgedFault,
    WebhookLateFault,
    WebhookLostFault,
    WebhookTwiceFault,
    WorkFault,
)
from workers.sandbox.inputs import price_usd_micros
from workers.sandbox.outputs import spoil
from workers.sandbox.ready import ReadyClip
from workers.sandbox.records import Bill, Prediction, Status, new_id
from workers.sandbox.rendering import RenderingStopped, render
from workers.sandbox.scenes import build_scene, heard_s
from workers.sandbox.settings import SandboxSettings
from workers.sandbox.sources import MediaUnusable, Sources
from workers.sandbox.store import Store
from workers.sandbox.webhooks import WebhookSender
from workers.sandbox.wire import prediction_document, searched_text

MODERATED = 1200
EXECUTION_FAILED = 1403
_logger = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How a job ended: final status, error text and the provider's code."""

    status: Status
    error: str = ""
    code: int = 0


class JobRunner:
    """Renders in threads, at most `renders_max` at once; the rest happens in the event loop."""

    def __init__(
        self,
        settings: SandboxSettings,
        store: Store,
        sources: Sources,
        webhooks: WebhookSender,
        secret: str,
    ) -> None:
        self._settings = settings
        self._store = store
        self._sources = sources
        self._secret = secret
        self._webhooks = webhooks
        self._threads = ThreadPoolExecutor(settings.renders_max, "render")
        self._slots = asyncio.Semaphore(settings.renders_max)
        self._ready = ReadyClip(settings.data_dir / "ready.mp4")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, threading.Event] = {}
        self._unhung = asyncio.Event()

    def resume(self) -> None:
        """Starts again what an earlier process left unfinished."""
        for prediction in self._store.all_predictions():
            if not prediction.finished:
                self.start(prediction)
            elif prediction.webhook_due:
                self._notify(prediction)

    def start(self, prediction: Prediction) -> None:
        """Runs an accepted job in the background."""
        self._stops[prediction.id] = threading.Event()
        self._spawn(prediction.id, self._run(prediction))

    def delete(self, prediction: Prediction) -> None:
        """Deletes a prediction; one that still runs is stopped and half refunded."""
        self.output_path(prediction).unlink(missing_ok=True)
        if prediction.finished:
            self._store.save_prediction(prediction.changed(status="deleted", has_output=False))
            return
        self._stops[prediction.id].set()
        self._tasks[prediction.id].cancel()
        self._end(prediction, Outcome("deleted"))

    def release_hung(self, match: str = "") -> None:
        """Lets the jobs go on that a fault holds back, if this text occurs in their inputs."""
        for prediction in self._store.all_predictions():
            if prediction.finished or not prediction.fault(HangFault):
                continue
            if match in searched_text(prediction.model, prediction.input):
                kept = tuple(each for each in prediction.faults if not isinstance(each, HangFault))
                self._store.save_prediction(prediction.changed(faults=kept))
        self._unhung.set()
        self._unhung = asyncio.Event()

    async def aclose(self) -> None:
        """Stops every rendering; unfinished jobs go on when the sandbox starts again."""
        for stop in self._stops.values():
            stop.set()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)

    def output_path(self, prediction: Prediction) -> Path:
        """Where the rendered file is or will be."""
        return self._settings.data_dir / "outputs" / f"{prediction.id}.mp4"

    async def _run(self, prediction: Prediction) -> None:
        try:
            await self._work(prediction)
            outcome = _outcome(prediction)
        except MediaUnusable as error:
            outcome = Outcome("failed", str(error), error.code)
        except RenderingStopped:
            return
        except Exception:
            # Whatever goes wrong, the submitter sees a failed job, as with the provider.
            _logger.exception("job %s failed", prediction.id)
            outcome = Outcome("failed", "execution failed", EXECUTION_FAILED)
        finally:
            self._stops.pop(prediction.id, None)
        self._end(self._current(prediction), outcome)

    async def _work(self, prediction: Prediction) -> None:
        async with self._slots:
            self._change(prediction, status="processing")
            with TemporaryDirectory(dir=self._settings.data_dir / "scratch") as folder:
                await self._produce(MODELS[prediction.model], prediction, Path(folder))
        slower = prediction.fault(WorkFault)
        work_s = slower.work_s if slower else self._settings.work_s
        due = prediction.created_at + timedelta(seconds=work_s)
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        while self._current(prediction).fault(HangFault):
            await self._unhung.wait()

    async def _produce(self, model: Model, prediction: Prediction, folder: Path) -> None:
        media = await self._sources.fetch_all(model, prediction.input, folder)
        heard = await asyncio.to_thread(heard_s, prediction.input, media)
        price = price_usd_micros(model, prediction.input, heard)
        self._change(prediction, price_usd_micros=price)
        if _outcome(prediction).status != "completed" or prediction.fault(NoOutputsFault):
            return
        stop = self._stops[prediction.id]

        def produce() -> None:
            target = self.output_path(prediction)
            if prediction.fault(ReadyFault):
                self._ready.copy_to(target, model, prediction, media)
            else:
                render(build_scene(model, prediction, media, folder), target, stop)
            spoil(target, prediction)

        await asyncio.get_running_loop().run_in_executor(self._threads, produce)

    def _end(self, prediction: Prediction, outcome: Outcome) -> None:
        told = outcome.status in ("completed", "failed") and prediction.webhook is not None
        ended = prediction.changed(
            status=outcome.status,
            error=outcome.error,
            code=outcome.code,
            ended_at=datetime.now(UTC),
            has_output=outcome.status == "completed" and not prediction.fault(NoOutputsFault),
            webhook_due=told and not prediction.fault(WebhookLostFault),
        )
        with self._store.transaction():
            self._store.save_prediction(ended)
            self._bill(ended)
        if ended.webhook_due:
            self._notify(ended)

    def _bill(self, ended: Prediction) -> None:
        """A charge for every run that ended; failed ones are refunded, deleted ones by half."""
        price = ended.price_usd_micros
        if price is None:
            return
        refund = {"completed": 0, "deleted": price // 2}.get(ended.status, price)
        amounts: list[tuple[Literal["deduct", "refund"], int]] = [
            ("deduct", price),
            ("refund", refund),
        ]
        for kind, amount in amounts:
            if amount:
                self._store.add_bill(
                    Bill(
                        id=new_id(),
                        kind=kind,
                        prediction_id=ended.id,
                        model=ended.model,
                        status=ended.status,
                        price_usd_micros=amount,
                        created_at=datetime.now(UTC),
                    )
                )

    def _notify(self, ended: Prediction) -> None:
        self._spawn(f"webhook of {ended.id}", self._send_webhook(ended))

    async def _send_webhook(self, ended: Prediction) -> None:
        assert ended.webhook is not None
        if late := ended.fault(WebhookLateFault):
            await asyncio.sleep(late.delay_s)
        document = prediction_document(ended, ended.origin, self._secret)
        body = json.dumps(document).encode()
        forged = ended.fault(WebhookForgedFault) is not None
        for _ in range(2 if ended.fault(WebhookTwiceFault) else 1):
            await self._webhooks.send(ended.webhook, body, forged=forged)
        self._change(ended, webhook_due=False)

    def _current(self, prediction: Prediction) -> Prediction:
        current = self._store.prediction(prediction.id)
        assert current is not None, "predictions are never removed"
        return current

    def _change(self, prediction: Prediction, **changes: object) -> None:
        self._store.save_prediction(self._current(prediction).changed(**changes))

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))


def _outcome(prediction: Prediction) -> Outcome:
    """How the job ends when nothing goes wrong but what its faults say."""
    if failed := prediction.fault(FailedFault):
        return Outcome("failed", failed.message, failed.code)
    if prediction.fault(ModeratedFault):
        return Outcome("failed", "content moderation: the request was flagged", MODERATED)
    if ended := prediction.fault(EndedFault):
        return Outcome(ended.status, f"the task ended: {ended.status}")
    return Outcome("completed")
