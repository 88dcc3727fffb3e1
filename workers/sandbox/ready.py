"""One small clip for every job, rendered once: where many jobs are the point, not their videos."""

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from workers.sandbox.catalogue import Model
from workers.sandbox.faults import OtherDurationFault, OtherSizeFault
from workers.sandbox.records import Prediction
from workers.sandbox.rendering import render
from workers.sandbox.scenes import build_scene

CLIP = (
    OtherSizeFault(kind="other_size", width=320, height=180),
    OtherDurationFault(kind="other_duration", duration_s=1.0),
)


class ReadyClip:
    """The clip at `path`, made of the first job's picture. Used by several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def copy_to(
        self, target: Path, model: Model, prediction: Prediction, media: Mapping[str, Path]
    ) -> None:
        """Put the clip where a job's output belongs; the file appears only when it is complete.

        Raises:
            MediaUnusable, av.error.FFmpegError, OSError: the first job's picture can't be used.
        """
        with self._lock:
            if not self._path.exists():
                small = prediction.changed(faults=CLIP)
                scene = build_scene(model, small, media, self._path.parent)
                render(scene, self._path, threading.Event())
        part = target.with_suffix(".part.mp4")
        shutil.copyfile(self._path, part)
        part.replace(target)
