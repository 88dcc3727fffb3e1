"""What the demo makes: a video by each operation and model, from the files in `examples/`."""

from pathlib import Path
from typing import Any, NamedTuple

from starter.cli.refusals import Usage
from workflows.contracts.requests import Operation, Source


class Sample(NamedTuple):
    """One video of the demo."""

    file: str
    """What it is called in the folder of the videos."""
    key: str
    operation: Operation
    source: Source
    title: str
    """The model's name."""
    inputs: dict[str, str]
    """Field of the request → file in `examples/`."""
    parameters: dict[str, Any]
    short_side_px: int
    """What the model really makes of the resolution."""
    duration_s: float | None
    """None = as long as its audio, which is in it."""

    def fields(self, examples: Path) -> dict[str, Any]:
        """The fields of the request."""
        inputs = {field: examples / name for field, name in self.inputs.items()}
        return {**inputs, **self.parameters, "source": self.source}


SAMPLES = (
    Sample(
        file="image-to-video-wan.mp4",
        key="demo-image-studio-wan",
        operation=Operation.IMAGE_TO_VIDEO,
        source=Source.IMAGE_STUDIO,
        title="WAN 2.5",
        inputs={"image": "coffee.jpg"},
        parameters={
            "prompt": "Steam rises slowly from the cup while the light of the morning"
            " wanders over it",
            "model": "alibaba/wan-2.5/image-to-video",
            "resolution": "720p",
            "duration_s": 5,
        },
        short_side_px=720,
        duration_s=5,
    ),
    Sample(
        file="image-to-video-kandinsky.mp4",
        key="demo-video-studio-kandinsky",
        operation=Operation.IMAGE_TO_VIDEO,
        source=Source.VIDEO_STUDIO,
        title="Kandinsky 5 Pro",
        inputs={"image": "rocket.jpg"},
        parameters={
            "prompt": "The camera moves slowly towards the rocket on its pad",
            "model": "wavespeed/kandinsky5-pro/image-to-video",
            "resolution": "480p",
            "duration_s": 5,
        },
        short_side_px=512,
        duration_s=5,
    ),
    Sample(
        file="scene-animation.mp4",
        key="demo-story-writer-kling",
        operation=Operation.SCENE_ANIMATION,
        source=Source.STORY_WRITER,
        title="Kling 2.5 turbo std",
        inputs={"image": "chelsea.jpg", "scene": "scene.json", "story_context": "story.json"},
        parameters={"duration_s": 10},
        short_side_px=720,
        duration_s=10,
    ),
    Sample(
        file="talking-avatar.mp4",
        key="demo-podcast-maker-infinitetalk",
        operation=Operation.TALKING_AVATAR,
        source=Source.PODCAST_MAKER,
        title="InfiniteTalk",
        inputs={
            "image": "portrait.jpg",
            "audio": "speech.wav",
            "scene": "scene.json",
            "story_context": "story.json",
        },
        parameters={"resolution": "480p"},
        short_side_px=480,
        duration_s=None,
    ),
)


def examples_folder() -> Path:
    """The folder of sample inputs: of the working directory, else of this code's repository.

    Raises:
        Usage: it is in neither.
    """
    names = {name for sample in SAMPLES for name in sample.inputs.values()}
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if all((folder / "examples" / name).is_file() for name in names):
            return folder / "examples"
    raise Usage("The sample inputs were not found; allowed: run it in the repository.")
