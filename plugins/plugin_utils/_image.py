# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of programs, and of container images, written without a registry and without a container engine.

The same input gives the same bytes: entries are sorted, belong to root, and are of the first second of 1970. An image
is one that `docker load` and `ctr images import` read, with a layer for its base and one for its programs
(https://github.com/moby/docker-image-spec/blob/main/spec.md).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

CREATED = "1970-01-01T00:00:00Z"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = "usr/local/bin"
TEMPORARY = "tmp"


@dataclass(frozen=True)
class Content:
    """An image: programs by name, links by absolute path, and the archive of a root directory below them."""

    reference: str
    architecture: str
    entrypoint: Sequence[str]
    programs: Mapping[str, Path]
    links: Mapping[str, str]
    base: Path | None = None


def opened(target: Path | IO[bytes]) -> tarfile.TarFile:
    """An archive to write to, in the one format."""
    if isinstance(target, Path):
        return tarfile.open(target, "w", format=tarfile.GNU_FORMAT)
    return tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT)


def archive(programs: Mapping[str, Path], target: Path) -> None:
    """Write the archive from which hosts install programs."""
    with opened(target) as output:
        for name in sorted(programs):
            _program(output, name, programs[name])


def write(target: Path, content: Content) -> str:
    """Write an image's archive, and return the image's id: by that an engine, or CRI, tells what it has.

    Needs as much room beside it again, for a time.
    """
    layers = [content.base] if content.base else []
    own = target.with_name(f".{target.name}.layer")
    try:
        with opened(own) as output:
            _own_layer(output, content)
        layers.append(own)
        sums = [sha256(layer) for layer in layers]
        config = _config(content, sums)
        identity = hashlib.sha256(config).hexdigest()
        name = f"{identity}.json"
        files = [f"{digest}.tar" for digest in sums]
        manifest = [{"Config": name, "RepoTags": [content.reference], "Layers": files}]
        with opened(target) as output:
            _text(output, "manifest.json", json.dumps(manifest).encode())
            _text(output, name, config)
            for file, layer in zip(files, layers, strict=True):
                entry = tarfile.TarInfo(file)
                entry.size = layer.stat().st_size
                with layer.open("rb") as source:
                    output.addfile(entry, source)
    finally:
        own.unlink(missing_ok=True)
    return f"sha256:{identity}"


def _own_layer(output: tarfile.TarFile, content: Content) -> None:
    """The programs, the links and a directory for temporary files, each parent before what is in it."""
    paths: dict[str, Path | str | None] = {f"{PROGRAMS}/{name}": path for name, path in content.programs.items()}
    paths |= {path.lstrip("/"): link for path, link in content.links.items()}
    paths[TEMPORARY] = None
    for path in list(paths):
        paths |= {str(parent): None for parent in PurePosixPath(path).parents if str(parent) != "."}
    for path in sorted(paths):
        target = paths[path]
        if isinstance(target, Path):
            _program(output, path, target)
            continue
        entry = tarfile.TarInfo(path)
        entry.type = tarfile.DIRTYPE if target is None else tarfile.SYMTYPE
        entry.linkname = target or ""
        entry.mode = 0o1777 if path == TEMPORARY else 0o755 if target is None else 0o777
        output.addfile(entry)


def _config(content: Content, sums: Sequence[str]) -> bytes:
    return json.dumps(
        {
            "architecture": content.architecture,
            "os": "linux",
            "created": CREATED,
            "config": {"Env": [f"PATH={PATH}"], "Entrypoint": list(content.entrypoint), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in sums]},
            "history": [{"created": CREATED, "created_by": "holdfast"} for _ in sums],
        },
        sort_keys=True,
    ).encode()


def _program(output: tarfile.TarFile, name: str, path: Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = path.stat().st_size, 0o755
    with path.open("rb") as source:
        output.addfile(entry, source)


def _text(output: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    output.addfile(entry, io.BytesIO(content))


def sha256(path: Path) -> str:
    """The sum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
