"""Whatever stands in a file is taken, or refused by its name and reason: never a crash.

Real samples with some bytes changed find what no random bytes find. 40 to 100 examples each,
twenty times as many with STILLMOTION_EVIDENCE=1.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from activities.ledger.catalogues import CatalogueInvalid, load_catalogue
from activities.media.documents import parse_document, tell
from activities.media.errors import MEDIA_INVALID, MediaInvalid
from starter.cli.batch_files import read_lines
from starter.cli.listing import moment
from starter.cli.refusals import Usage
from tests.security import bombs
from tests.security.conftest import EXAMPLES, a_few
from workflows.contracts.failures import RequestRefused
from workflows.contracts.media import Role

MEMORY_BYTES = 1024**3
CPU_S = 3600
REPOSITORY = Path(__file__).parents[2]
CATALOGUE = REPOSITORY / "workflows" / "contracts" / "catalogue.json"

ONE_FOLDER = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Change(NamedTuple):
    """What becomes of some bytes of a file: overwritten, cut off, doubled or moved."""

    what: str
    at: float
    data: bytes

    def of(self, data: bytes) -> bytes:
        at = int(self.at * len(data))
        match self.what:
            case "cut":
                return data[:at]
            case "insert":
                return data[:at] + self.data + data[at:]
            case "drop":
                return data[:at] + data[at + len(self.data) :]
            case _:
                return data[:at] + self.data + data[at + len(self.data) :]


# Headers stand at the beginning, so half of all changes are made there.
changes = st.lists(
    st.builds(
        Change,
        st.sampled_from(["overwrite", "overwrite", "overwrite", "cut", "insert", "drop"]),
        st.floats(0, 1) | st.floats(0, 0.05),
        st.binary(min_size=1, max_size=8)
        | st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"]),
    ),
    min_size=1,
    max_size=4,
)


class Decoder:
    """A process that decodes one file after another; one that has ended is replaced."""

    def __init__(self, kind: str, file: Path) -> None:
        self._kind = kind
        self._file = file
        self._process = _started(kind)

    def answer(self, data: bytes) -> dict[str, Any]:
        """What it says of these bytes; an assertion fails where they have ended it."""
        if self._process.poll() is not None:
            self._process = _started(self._kind)
        self._file.write_bytes(data)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{self._file}\n")
        stdin.flush()
        line = stdout.readline()
        assert line, f"the decoder ended with {self._process.wait()}: {_last_words(self._process)}"
        return json.loads(line)

    def end(self) -> None:
        with self._process as process:
            process.kill()


def _last_words(process: "subprocess.Popen[str]") -> str:
    stderr: IO[str] | None = process.stderr
    return stderr.read()[-2000:] if stderr is not None else ""


def _started(kind: str) -> "subprocess.Popen[str]":
    program = Path(__file__).with_name("decoder_program.py")
    return subprocess.Popen(
        [sys.executable, str(program), kind, str(MEMORY_BYTES), str(CPU_S)],
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextmanager
def a_decoder(kind: str, folder: Path) -> Generator[Decoder]:
    decoder = Decoder(kind, folder / "changed")
    try:
        yield decoder
    finally:
        decoder.end()


def picture_in(form: str) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        path = folder / "sample"
        small = Image.open(EXAMPLES / "coffee.jpg").resize((64, 48))
        small.save(path, form, **({"exif": _exif()} if form != "BMP" else {}))
        return path.read_bytes()

    return make


def _exif() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    exif[270] = "a description"
    return exif.tobytes()


def _mp4(folder: Path) -> bytes:
    return bombs.video_of_many_streams(folder / "sample.mp4", 2).read_bytes()


def _flac(folder: Path) -> bytes:
    return bombs.silence(folder / "sample.flac", 0.01).read_bytes()


def _wav(_: Path) -> bytes:
    return (EXAMPLES / "speech.wav").read_bytes()[:20_000]


SAMPLES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "jpeg": ("image", picture_in("JPEG")),
    "png": ("image", picture_in("PNG")),
    "webp": ("image", picture_in("WEBP")),
    "bmp": ("image", picture_in("BMP")),
    "wav": ("audio", _wav),
    "flac": ("audio", _flac),
    "mp4": ("video", _mp4),
    "mp4 as sound": ("audio", _mp4),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_changed_file_is_measured_or_refused_and_its_decoder_lives_on(
    tmp_path: Path, sample: str
) -> None:
    kind, make = SAMPLES[sample]
    good = make(tmp_path)

    with a_decoder(kind, tmp_path) as decoder:

        @settings(ONE_FOLDER, max_examples=a_few(60))
        @given(changes)
        def judges(made: list[Change]) -> None:
            data = good
            for change in made:
                data = change.of(data)
            _is_an_answer(decoder.answer(data))

        judges()


def _is_an_answer(answer: dict[str, Any]) -> None:
    """Facts that fit our tables, a refusal by a leaf of ours, or its own memory limit."""
    if "facts" in answer:
        facts = answer["facts"]
        assert all(value >= 0 for value in facts.values() if isinstance(value, int | float))
        assert "\0" not in json.dumps(facts)
        return
    if "out_of_memory" in answer:
        return
    leaf, reason, allowed = answer["refused"]
    assert leaf in MEDIA_INVALID
    assert reason.isprintable()
    assert allowed


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
roles: st.SearchStrategy[Role] = st.sampled_from(["scene", "story_context"])
documents = st.binary(max_size=100) | json_values.map(lambda value: json.dumps(value).encode())


@settings(deadline=None, max_examples=a_few(100))
@given(documents, roles)
@example(b'{"title": "\\ud800"}', "scene")
@example(b'{"title": NaN, "scene_number": Infinity}', "scene")
@example(b'{"scene_number": 1e400}', "scene")
@example(b'{"lines": [' + b'"x",' * 10_000 + b'""]}', "scene")
@example(b'{"a": 1, "a": 2}', "story_context")
@example(b"\xef\xbb\xbf{}", "scene")
@example(b"\xff\xfe{\0}\0", "scene")
def test_a_document_is_a_story_or_is_refused(content: bytes, role: Role) -> None:
    with suppress(MediaInvalid, RequestRefused):
        told = tell(parse_document(content, "story.json"), role)
        told.model_dump_json().encode()


@pytest.mark.parametrize("name", ["scene.json", "story.json"])
def test_a_changed_story_is_a_story_or_is_refused(tmp_path: Path, name: str) -> None:
    good = (EXAMPLES / name).read_bytes()
    role: Role = "scene" if name == "scene.json" else "story_context"

    @settings(deadline=None, max_examples=a_few(60))
    @given(changes)
    def reads(made: list[Change]) -> None:
        data = good
        for change in made:
            data = change.of(data)
        with suppress(MediaInvalid, RequestRefused):
            tell(parse_document(data, name), role)

    reads()


@settings(ONE_FOLDER, max_examples=a_few(80))
@given(
    st.lists(
        st.binary(max_size=40)
        | json_values.map(lambda value: json.dumps(value).encode())
        | st.dictionaries(
            st.sampled_from(["image", "audio", "mask_image", "scene", "story_context", "prompt"]),
            json_values | st.sampled_from(["\0", "../x", "/" * 300, "data:x", "https://["]),
        ).map(lambda value: json.dumps(value).encode()),
        max_size=4,
    )
)
def test_a_batch_file_is_read_or_is_a_usage_error(tmp_path: Path, lines: list[bytes]) -> None:
    file = tmp_path / "many.jsonl"
    file.write_bytes(b"\n".join(lines))

    with suppress(Usage):
        assert all(isinstance(line.item, dict) for line in read_lines(file))  # pyright: ignore[reportUnnecessaryIsInstance]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON document."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, inner in items:
        yield (*at, key)
        yield from places(inner, (*at, key))


SHIPPED: dict[str, Any] = json.loads(CATALOGUE.read_text("utf-8"))
PLACES = list(places(SHIPPED))


def changed(at: tuple[Any, ...], to: Any) -> bytes:
    document = deepcopy(SHIPPED)
    inner: Any = document
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = to
    return json.dumps(document).encode()


def cut(share: float) -> bytes:
    return CATALOGUE.read_bytes()[: int(share * CATALOGUE.stat().st_size)]


catalogues = (
    st.builds(changed, st.sampled_from(PLACES), json_values)
    | st.builds(cut, st.floats(0, 1))
    | st.binary(max_size=60)
)


@settings(ONE_FOLDER, max_examples=a_few(80))
@given(catalogues)
def test_an_operators_catalogue_is_taken_or_refused_by_its_name(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "catalogue.json"
    file.write_bytes(content)

    try:
        load_catalogue(file)
    except CatalogueInvalid as refusal:
        told = str(refusal)
    else:
        return
    assert told.startswith(str(file))


@settings(deadline=None, max_examples=a_few(60))
@given(st.text(max_size=20) | st.from_regex(r"\A[0-9]{1,12}[smhdw]\Z"))
@example("999999w")
@example("0001-01-01T00:00+14:00")
@example("٣d")
def test_a_span_of_time_is_read_or_is_a_usage_error(text: str) -> None:
    with suppress(Usage):
        assert moment(text).tzinfo is not None
