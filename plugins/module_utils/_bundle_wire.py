# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a bundle travels: one JSON request and the contents that go with it, in one piece.

Layout: 8 bytes big endian length of the JSON header, the header, then all contents one after the other. The header
is `{"request": {...}, "contents": [[sha256, size], ...]}`. As a module argument it is compressed and base64 encoded;
as a file (large sets) it lies as it is, so that contents are read where they are and never all at once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

CHUNK = 1024 * 1024
_LENGTH = struct.Struct(">Q")


class Damaged(ValueError):
    """A content is not what its hash says."""

    def __init__(self, sha256: str):
        super().__init__(f"content {sha256} is damaged")
        self.sha256 = sha256


class Content:
    """The bytes of one file: in memory, or a slice of a file.

    `sha256` is its lower-case hex digest and `size` its length in bytes; `copy_to` checks both.
    """

    def __init__(self, sha256: str, size: int, data: bytes | None = None, path: Path | None = None, offset: int = 0):
        self.sha256 = sha256
        self.size = size
        self._data = data
        self._path = path
        self._offset = offset

    @classmethod
    def of_bytes(cls, data: bytes) -> Content:
        return cls(hashlib.sha256(data).hexdigest(), len(data), data=data)

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """Hash a file without holding it in memory. Raises OSError."""
        digest, size = hash_file(path)
        return cls(digest, size, path=path)

    def chunks(self) -> Iterator[bytes]:
        """The bytes in pieces. Raises OSError, Damaged when the file ends too early."""
        if self._data is not None:
            yield self._data
            return
        assert self._path is not None  # noqa: S101 - one of the two is always given
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            left = self.size
            while left:
                piece = stream.read(min(CHUNK, left))
                if not piece:
                    raise Damaged(self.sha256)
                left -= len(piece)
                yield piece

    def copy_to(self, stream: IO[bytes]) -> None:
        """Write it to a stream. Raises OSError, Damaged."""
        digest = hashlib.sha256()
        for piece in self.chunks():
            digest.update(piece)
            stream.write(piece)
        if digest.hexdigest() != self.sha256:
            raise Damaged(self.sha256)

    def read(self) -> bytes:
        return b"".join(self.chunks())


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a regular file; a symlink is not followed. Raises OSError."""
    digest = hashlib.sha256()
    size = 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        while True:
            piece = stream.read(CHUNK)
            if not piece:
                return digest.hexdigest(), size
            digest.update(piece)
            size += len(piece)


def _header(request: Mapping[str, Any], contents: Iterable[Content]) -> bytes:
    listing = [[content.sha256, content.size] for content in contents]
    text = json.dumps({"request": request, "contents": listing}, separators=(",", ":"), sort_keys=True).encode()
    return _LENGTH.pack(len(text)) + text


def pack(request: Mapping[str, Any], contents: Iterable[Content]) -> str:
    """Everything as one printable string for a module argument."""
    contents = list(contents)
    packer = zlib.compressobj(6)
    pieces = [packer.compress(_header(request, contents))]
    pieces += [packer.compress(piece) for content in contents for piece in content.chunks()]
    pieces.append(packer.flush())
    return base64.b64encode(b"".join(pieces)).decode()


def unpack(text: str) -> tuple[dict[str, Any], dict[str, Content]]:
    """The request and its contents by hash. Raises ValueError when the string is damaged."""
    try:
        raw = zlib.decompress(base64.b64decode(text, validate=True))
        (length,) = _LENGTH.unpack_from(raw)
        header = json.loads(raw[_LENGTH.size : _LENGTH.size + length])
    except (binascii.Error, zlib.error, struct.error, ValueError) as error:
        raise ValueError(f"the bundle was damaged on its way: {error}") from error
    contents = {}
    offset = _LENGTH.size + length
    for sha256, size in header["contents"]:
        contents[sha256] = Content(sha256, size, data=raw[offset : offset + size])
        offset += size
    return header["request"], contents


def write_file(stream: IO[bytes], contents: Iterable[Content]) -> None:
    """Write contents as a file for `read_file`. Raises OSError."""
    contents = list(contents)
    stream.write(_header({}, contents))
    for content in contents:
        for piece in content.chunks():
            stream.write(piece)


def read_file(path: Path) -> dict[str, Content]:
    """The contents of a file by hash; they stay in the file. Raises OSError, ValueError when it is damaged."""
    with path.open("rb") as stream:
        try:
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            header = json.loads(stream.read(length))
        except (struct.error, ValueError) as error:
            raise ValueError(f"{path} was damaged on its way: {error}") from error
    contents = {}
    offset = _LENGTH.size + length
    for sha256, size in header["contents"]:
        contents[sha256] = Content(sha256, size, path=path, offset=offset)
        offset += size
    return contents
