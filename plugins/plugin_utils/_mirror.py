# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror: a directory of artifacts, each made once per machine, whatever checkouts and sites share it.

A directory in it, `<artifact>-<version>-<architecture>-<key>`, holds what hosts get: one archive of programs, one of
each image, and `record.json`, which says what they are. The key changes with the lock file's entry. Directories
appear by a rename once they are complete; a build that is killed leaves nothing behind but what Go's own cache keeps.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _elf
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils import (
    _artifact_go,
    _artifact_release,
    _debian_tree,
    _image,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._artifact_lock import ARCHITECTURES, Artifact, Image
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError, Problem

RECORD = "record.json"
BASE = "base.tar"
WORK = ".work"
#: What a build leaves beside its programs.
PROVENANCE = ("go.mod", "go.sum", RECORD)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A directory of the mirror, and what its record says."""

    directory: Path
    record: Mapping[str, Any]


def default() -> Path:
    """Where this machine's mirror is: HOLDFAST_MIRROR, or where its user keeps what can be made again."""
    if given := os.environ.get("HOLDFAST_MIRROR"):
        return Path(given).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/holdfast/mirror")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast" / "mirror"


@dataclass(frozen=True)
class Mirror:
    """A mirror, for hosts of one architecture, from one source: release or build. `say` gets lines of progress."""

    directory: Path
    architecture: str
    source: str
    say: Say = print

    def place(self, artifact: Artifact, kind: str = "files") -> Path:
        """The directory of an artifact; kind: files, or build for the programs that these are made of."""
        stem = f"{artifact.name}-{artifact.version}-{self.architecture}"
        key = artifact.key(kind, self.architecture, self.source)
        return self.directory / f"{stem}{'-programs' if kind == 'build' else ''}-{key}"

    def missing(self, artifacts: Iterable[Artifact]) -> list[str]:
        """The names of the artifacts that the source could give, and that the mirror lacks."""
        return [
            artifact.name
            for artifact in artifacts
            if self.source in artifact.sources() and _read(self.place(artifact)) is None
        ]

    def fill(self, artifacts: Iterable[Artifact]) -> None:
        """Fetch or build what the mirror lacks. Vendors that publish images only have nothing for it.

        :raises Failed: something can't be had, or is not what the lock file says.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        for artifact in artifacts:
            begun, title = time.monotonic(), f"{artifact.name} {artifact.version}"
            if self.source not in artifact.sources():
                self.say(f"{title}: its vendor publishes images only, which hosts pull")
            elif self._made(self.place(artifact), partial(self._files, artifact)):
                self.say(f"{title}: done in {time.monotonic() - begun:.1f} s")
            else:
                self.say(f"{title}: there")

    def listed(self, artifacts: Iterable[Artifact]) -> list[dict[str, str]]:
        """Everything that a site downloads of these artifacts: {artifact, version, url, sum}.

        A sum is `sha256:...` where the lock file or the mirror knows it, else where it comes from.
        """
        rows = self._released if self.source == "release" else self._built
        return [
            {"artifact": artifact.name, "version": artifact.version, "url": url, "sum": text}
            for artifact in artifacts
            for url, text in rows(artifact)
        ]

    def _released(self, artifact: Artifact) -> Iterator[tuple[str, str]]:
        if artifact.release:
            for download in _artifact_release.downloads(artifact, self.architecture):
                yield download.url, f"sha256:{download.sha256}" if download.sha256 else download.checksum
        for image in artifact.images:
            yield image.reference, "the registry's digest"

    def _built(self, artifact: Artifact) -> Iterator[tuple[str, str]]:
        if artifact.build is None:
            return
        made = _read(self.place(artifact))
        expected = artifact.build.sha256.get(self.architecture) or (total(made["programs"]) if made else "")
        built = f"built sha256:{expected}" if expected else "not built yet"
        for name, version in artifact.build.modules.items():
            yield f"go module {name}@{artifact.fill(version)}", f"checksum database; {built}"
        if not artifact.build.modules:
            yield "this collection", built
        for image in artifact.images:
            newest = dict.fromkeys(image.packages, "newest")
            packages = made["images"][image.name]["packages"] if made else newest
            for name, version in packages.items():
                yield f"debian package {name}={version}", "apt's signed lists"

    def _made(self, target: Path, make: Callable[[Path], Mapping[str, Any]]) -> bool:
        """Let a directory be made unless it is there. Only one of several runs makes it; the others wait for that."""
        if _read(target) is not None:
            return False
        with self._locked(target):
            if _read(target) is not None:
                return False
            for left in self.directory.glob(f".{target.name}.*"):
                if left.is_dir():
                    shutil.rmtree(left)  # of a run that was killed: a live one holds the lock
            draft = Path(tempfile.mkdtemp(dir=self.directory, prefix=f".{target.name}."))
            try:
                record = make(draft)
                (draft / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                draft.chmod(0o755)
                for file in draft.iterdir():
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
                draft.replace(target)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        return True

    @contextmanager
    def _locked(self, target: Path) -> Iterator[None]:
        """Hold the lock of one directory of the mirror; it ends with the process."""
        with (self.directory / f".{target.name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say(f"waiting for {target.name}, which another run makes")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _files(self, artifact: Artifact, draft: Path) -> dict[str, Any]:
        """Make what hosts get of an artifact."""
        programs = self.place(artifact, "build")
        self._made(programs, partial(self._programs, artifact))
        record = {
            "name": artifact.name,
            "version": artifact.version,
            "architecture": self.architecture,
            "source": self.source,
            **_record(programs),
            "archive": None,
            "images": {},
        }
        if artifact.install:
            archive = draft / f"{artifact.name}.tar"
            _image.archive({program: programs / program for program in artifact.install}, archive)
            record["archive"] = {
                **_described(archive),
                "programs": list(artifact.install),
                "directory": artifact.directory,
            }
        for image in artifact.images if self.source == "build" else ():
            self.say(f"{artifact.name} {artifact.version}: assembling {image.reference}")
            file = draft / f"{image.name}.image.tar"
            base = self._base(image.packages) if image.packages else None
            content = _image.Content(
                reference=image.reference,
                architecture=self.architecture,
                entrypoint=image.entrypoint,
                programs={program: programs / program for program in image.programs},
                links=image.links,
                base=base.directory / BASE if base else None,
            )
            record["images"][image.name] = {
                "id": _image.write(file, content),
                "reference": image.reference,
                "packages": base.record["packages"] if base else {},
                **_described(file),
            }
        return record

    def _base(self, packages: Iterable[str]) -> Made:
        """The root directory of images with these packages, made once for all of them."""
        names, suite = sorted(packages), _debian_tree.SUITE
        key = hashlib.sha256(" ".join([suite, *names]).encode()).hexdigest()[:12]
        target = self.directory / f"debian-{suite}-{self.architecture}-{key}"

        def make(draft: Path) -> dict[str, Any]:
            self.say(f"Debian {suite}: collecting {', '.join(names)} and what they need")
            work = draft / WORK
            work.mkdir()
            versions = _debian_tree.make(names, self.architecture, work, draft / BASE)
            shutil.rmtree(work)
            return {"packages": versions}

        self._made(target, make)
        return Made(target, _record(target))

    def _programs(self, artifact: Artifact, draft: Path) -> dict[str, Any]:
        """Get an artifact's programs, each checked: its sum, and that it is for the architecture."""
        work, title, built = draft / WORK, f"{artifact.name} {artifact.version}", None
        work.mkdir()
        if self.source == "release":
            self.say(f"{title}: fetching the vendor's release")
            _artifact_release.fetch(artifact, self.architecture, work, draft)
        else:
            built = _artifact_go.ready(artifact.go)
            self.say(f"{title}: building with {built}")
            _artifact_go.build(artifact, self.architecture, work, draft)
        shutil.rmtree(work)
        programs = {file.name: _image.sha256(file) for file in sorted(draft.iterdir()) if file.name not in PROVENANCE}
        for name in programs:
            found = _elf.architecture(draft / name)
            if found != self.architecture:
                raise Failed(f"{artifact.name}: {draft / name} is for {found}, expected {self.architecture}")
        expected = artifact.build.sha256.get(self.architecture) if artifact.build and built else None
        if expected and expected != total(programs):
            raise Failed(
                f"{artifact.name}: what {built} built has the sum {total(programs)}, the lock file says {expected}: "
                "its sources are not those that were pinned, or the lock file's sum is of another version"
            )
        return {"programs": programs, "built": built}


def offers(directory: Path, artifacts: Iterable[Artifact], url: str) -> tuple[list[dict[str, Any]], dict[str, Path]]:
    """What hosts are told of artifacts, see module_utils/_artifact.py, and the mirror's files by their sums.

    Without a `url`, where the mirror is published, hosts are brought the files.
    :raises InvalidError: an artifact without programs for hosts.
    """
    wanted, files = [], {}
    for artifact in artifacts:
        if not artifact.install:
            reason = "hosts install nothing of it"
            raise InvalidError([Problem("artifact", "names", artifact.name, reason, "its images are what it is for")])
        by_architecture: dict[str, list[dict[str, Any]]] = {}
        for architecture in ARCHITECTURES:
            several = by_architecture.setdefault(architecture, [])
            for source in artifact.sources():
                offer: dict[str, Any] = {"key": artifact.key("install", architecture, source)}
                place = Mirror(directory, architecture, source).place(artifact)
                record = _read(place)
                if record is not None:
                    archive = record["archive"]
                    files[archive["sha256"]] = place / archive["file"]
                    offer |= {"sha256": archive["sha256"], "size": archive["size"]}
                    offer["url"] = f"{url.rstrip('/')}/{place.name}/{archive['file']}" if url else ""
                several.append(offer)
        about = {"name": artifact.name, "version": artifact.version, "programs": list(artifact.install)}
        wanted.append({**about, "directory": artifact.directory, "offers": by_architecture})
    return wanted, files


def images(
    directory: Path, several: Iterable[tuple[Artifact, Image]], url: str
) -> tuple[list[dict[str, Any]], dict[str, Path]]:
    """What hosts are told of images, see module_utils/_images.py, and the mirror's archives by their sums.

    An image has no offer for an architecture where the mirror has no archive of it.
    """
    wanted, files = [], {}
    for artifact, image in several:
        by_architecture = {}
        for architecture in ARCHITECTURES:
            place = Mirror(directory, architecture, "build").place(artifact) if artifact.build else None
            record = _read(place) if place else None
            if place is None or record is None:
                continue
            made = record["images"][image.name]
            files[made["sha256"]] = place / made["file"]
            offer = {name: made[name] for name in ("id", "sha256", "size")}
            offer["url"] = f"{url.rstrip('/')}/{place.name}/{made['file']}" if url else ""
            by_architecture[architecture] = offer
        wanted.append({"name": image.name, "reference": image.reference, "offers": by_architecture})
    return wanted, files


def total(programs: Mapping[str, str]) -> str:
    """One sum for many programs: that of what sha256sum prints for them by name."""
    text = "".join(f"{programs[name]}  {name}\n" for name in sorted(programs))
    return hashlib.sha256(text.encode()).hexdigest()


def _read(directory: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return record


def _record(directory: Path) -> dict[str, Any]:
    record = _read(directory)
    if record is None:
        raise Failed(f"{directory}: was removed while it was used; run it again")
    return record


def _described(file: Path) -> dict[str, Any]:
    return {"file": file.name, "sha256": _image.sha256(file), "size": file.stat().st_size}
