"""The same picture under other bytes: a nonce in the metadata of the file, the pixels untouched.

A provider that keeps one URL per content would give two generations the same one; a staged URL must
name one.
"""

import struct
import zlib

_PNG_HEADER_END = 8 + 25
"""Signature, then the IHDR chunk: length 4, type 4, data 13, checksum 4."""


def with_nonce(data: bytes, mime_type: str, nonce: str) -> bytes:
    """`data` with `nonce` (ASCII, at most 64 characters) where decoders don't look.

    Raises:
        ValueError: not one of `image/jpeg`, `image/png`, `image/webp`, `image/bmp`.
    """
    note = nonce.encode("ascii")[:64]
    match mime_type:
        case "image/jpeg":  # A comment segment behind the start-of-image marker.
            return data[:2] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + data[2:]
        case "image/png":  # A text chunk behind the header chunk.
            chunk = b"tEXt" + b"Comment\x00" + note
            framed = (
                struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
            )
            return data[:_PNG_HEADER_END] + framed + data[_PNG_HEADER_END:]
        case "image/webp":  # A chunk of our own at the end; readers skip what they don't know.
            padded = note + b"\x00" * (len(note) % 2)
            whole = data[12:] + b"NONC" + struct.pack("<I", len(note)) + padded
            return b"RIFF" + struct.pack("<I", len(whole) + 4) + b"WEBP" + whole
        case "image/bmp":  # Behind the pixels, which the header locates.
            return data + note
        case _:
            raise ValueError(f"no place for a nonce in {mime_type}")
