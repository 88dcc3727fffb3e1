"""A film to decode: 1080p H.264 at 8 Mbit/s, as video services deliver it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from PIL import Image

PICTURE = Path(__file__).parents[1] / "examples" / "rocket.jpg"
WIDTH, HEIGHT = 1920, 1080
RATE = 24
BIT_RATE = 8_000_000
SCENE_S = 5
_ROOM = 1.2
"""How much larger than the frame the picture is that the camera pans over."""


def make_film(path: Path, duration_s: int) -> None:
    """Write a film of `duration_s` seconds: one scene, encoded once and shown over and over."""
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as film:
        # Without frames that refer to later ones, a scene can follow on its own end.
        stream = film.add_stream(
            "libx264", rate=RATE, options={"preset": "veryfast", "bf": "0", "threads": "2"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = BIT_RATE
        stream.codec_context.time_base = Fraction(1, RATE)
        scene = [
            bytes(packet)
            for frame in _frames()
            for packet in stream.encode(av.VideoFrame.from_image(frame))
        ]
        scene += [bytes(packet) for packet in stream.encode(None)]
        for number in range(RATE * duration_s):
            packet = Packet(scene[number % len(scene)])
            packet.stream = stream
            packet.time_base = Fraction(1, RATE)
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.is_keyframe = number % len(scene) == 0
            film.mux(packet)


def _frames() -> Iterator[Image.Image]:
    """A pan from one corner of the picture to the other."""
    size = (round(WIDTH * _ROOM), round(HEIGHT * _ROOM))
    with Image.open(PICTURE) as picture:
        scenery = picture.convert("RGB").resize(size)
    count = RATE * SCENE_S
    for number in range(count):
        left = (size[0] - WIDTH) * number // count
        top = (size[1] - HEIGHT) * number // count
        yield scenery.crop((left, top, left + WIDTH, top + HEIGHT))
