"""The camera move of a rendered video: smooth, and chosen by prompt and seed alone.

The same words and seed give the same move, others another one, so that a test can tell two videos
apart and recognise a repeated one.
"""

import hashlib
from dataclasses import dataclass

FPS = 24
SWING_S = 8
"""Longer videos swing to and fro in about this many seconds instead of crawling."""
SINGLE_MOVE_S_MAX = 12


@dataclass(frozen=True)
class CameraMove:
    """Zoom factor and focus point (0 to 1 of the picture's free room) at either end of the move."""

    zoom: tuple[float, float]
    focus_x: tuple[float, float]
    focus_y: tuple[float, float]

    def zoompan(self, *, frames: int, width: int, height: int) -> str:
        """Arguments of FFmpeg's `zoompan` filter for so many frames of so many pixels."""
        eased = f"((1-cos({_turns(frames)}*PI*on/{max(frames - 1, 1)}))/2)"
        x = f"({_between(self.focus_x, eased)})*(iw-iw/zoom)"
        y = f"({_between(self.focus_y, eased)})*(ih-ih/zoom)"
        return (
            f"z='{_between(self.zoom, eased)}':x='{x}':y='{y}'"
            f":d={frames}:s={width}x{height}:fps={FPS}"
        )


def camera_move(prompt: str, seed: int) -> CameraMove:
    """The move for a prompt and a seed."""
    digest = hashlib.sha256(f"{prompt}\0{seed}".encode()).digest()
    near, far, *focus = (byte / 255 for byte in digest[:6])
    zooms = (1.02 + 0.06 * near, 1.16 + 0.14 * far)
    x_from, x_to, y_from, y_to = (0.15 + 0.7 * part for part in focus)
    if digest[6] % 2:
        zooms = (zooms[1], zooms[0])
    return CameraMove(zoom=zooms, focus_x=(x_from, x_to), focus_y=(y_from, y_to))


def _turns(frames: int) -> int:
    """Half turns of the cosine: one for a single move, an even number for swings."""
    if frames <= SINGLE_MOVE_S_MAX * FPS:
        return 1
    return 2 * round(frames / (SWING_S * FPS))


def _between(ends: tuple[float, float], eased: str) -> str:
    start, end = ends
    return f"{start:.4f}+({end - start:.4f})*{eased}"
