# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts on a host: each version in a directory of its own, and one link that says which of them is in use.

    /opt/holdfast/artifacts/<name>/<version>-<key>/<program>, record.json
    /opt/holdfast/artifacts/<name>/current -> <version>-<key>
    /usr/local/bin/<program> -> /opt/holdfast/artifacts/<name>/current/<program>

A version appears by a rename, once all of its programs are there and checked; it comes into use by another one. Until
all artifacts of a call are there, nothing that is in use changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ansible_collections.holdfast.platform.plugins.module_utils import _elf
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

ROOT = Path("/opt/holdfast/artifacts")
RECORD = "record.json"
TIMEOUT = 60
"""Seconds without a byte from a mirror."""
_OPENER = urllib.request.build_opener()
CHUNK = 1 << 20


@dataclass(frozen=True)
class Offer:
    """What a mirror has of an artifact. sha256 is empty where it has nothing, then only what is here can be used."""

    key: str
    sha256: str = ""
    size: int = 0
    url: str = ""


@dataclass(frozen=True)
class Wanted:
    """An artifact that has to be in use. `offers` are by architecture, the preferred one first."""

    name: str
    version: str
    programs: Sequence[str]
    directory: Path
    offers: Mapping[str, Sequence[Offer]]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Wanted:
        """Read what the controller sends."""
        offers = {name: [Offer(**offer) for offer in several] for name, several in given["offers"].items()}
        directory = Path(given["directory"])
        return cls(given["name"], given["version"], given["programs"], directory, offers)


@dataclass(frozen=True)
class Step:
    """What has to be done for one artifact. `before` is the version in use, or empty."""

    wanted: Wanted
    target: Path
    offer: Offer
    fetch: bool
    before: str
    link: Sequence[str]
    unlink: Sequence[Path]

    @property
    def changed(self) -> bool:
        return bool(self.fetch or self.before != self.target.name or self.link or self.unlink)


class Host:
    """The artifacts of this host. `files` are archives that were brought here, by their sum."""

    def __init__(self, machine: str, files: Mapping[str, str], root: Path = ROOT) -> None:
        self.architecture, self.files, self.root = _elf.of_machine(machine), files, root

    # -- what is to be done --------------------------------------------------------------------------------------------
    def held(self, wanted: Sequence[Wanted], hold: Mapping[str, str]) -> dict[str, str]:
        """The artifacts that stay at another version than the wanted one, and at which.

        hold: a file for each that is not to change while this file is there. One that was never installed is not held.
        """
        versions = {}
        for one in wanted:
            used = self._used(one.name)
            same = [f"{one.version}-{offer.key}" for offer in one.offers.get(self.architecture, [])]
            if used and used not in same and one.name in hold and Path(hold[one.name]).exists():
                versions[one.name] = used.rpartition("-")[0]
        return versions

    def _used(self, name: str) -> str:
        """The version in use, with its key; empty when there is none."""
        current = self.root / name / "current"
        return current.readlink().name if current.is_symlink() else ""

    def plan(self, wanted: Sequence[Wanted]) -> list[Step]:
        """Decide; nothing is changed.

        :raises Failed: an artifact can't be had for this host, or something that is not ours is in its place.
        """
        steps = [self._step(one) for one in wanted]
        problems = [problem for step in steps for problem in self._in_the_way(step)]
        if problems:
            raise Failed("; ".join(problems))
        return steps

    def _step(self, wanted: Wanted) -> Step:
        offers = wanted.offers.get(self.architecture, [])
        home = self.root / wanted.name
        places = [(home / f"{wanted.version}-{offer.key}", offer) for offer in offers]
        here = next(((place, offer) for place, offer in places if self._complete(place, wanted)), None)
        chosen = here or next(((place, offer) for place, offer in places if offer.sha256), None)
        if chosen is None:
            known = sorted(name for name, several in wanted.offers.items() if any(offer.sha256 for offer in several))
            raise Failed(
                f"{wanted.name} {wanted.version} for {self.architecture}: the mirror has "
                f"{f'it for {known[0]} only' if known else 'nothing of it'}; fill it (playbooks/mirror.yml, with "
                f"mirror_architecture={self.architecture}, or `make mirror NAMES={wanted.name}`)"
            )
        target, offer = chosen
        before = self._used(wanted.name)
        old = _record(home / before)["programs"] if before else {}
        return Step(
            wanted=wanted,
            target=target,
            offer=offer,
            fetch=here is None,
            before=before,
            link=[name for name in wanted.programs if not self._ours(wanted, wanted.directory / name)],
            unlink=[
                wanted.directory / name
                for name in old
                if name not in wanted.programs and self._ours(wanted, wanted.directory / name)
            ],
        )

    def _link(self, wanted: Wanted, program: str) -> Path:
        return self.root / wanted.name / "current" / program

    def _ours(self, wanted: Wanted, path: Path) -> bool:
        return path.is_symlink() and path.readlink() == self._link(wanted, path.name)

    def _in_the_way(self, step: Step) -> Iterator[str]:
        for name in step.link:
            path = step.wanted.directory / name
            if path.is_symlink() and str(path.readlink()).startswith(f"{self.root}/"):
                continue  # another artifact's, or of an older layout
            if path.is_symlink() or path.exists():
                yield f"{path}: is there and not ours, so {step.wanted.name} is not installed over it; remove it first"

    def _complete(self, place: Path, wanted: Wanted) -> bool:
        """Whether a version is here with programs of the sizes that they had. Their sums would take seconds."""
        programs = _record(place)["programs"]
        try:
            return set(programs) == set(wanted.programs) and all(
                (place / name).stat().st_size == about["size"] for name, about in programs.items()
            )
        except OSError:
            return False

    # -- doing it ------------------------------------------------------------------------------------------------------
    def fetch(self, steps: Sequence[Step]) -> None:
        """Get all that is missing, beside what is in use.

        :raises Failed: something is not what it should be.
        """
        with self._locked():
            self._obtain_all(steps)

    def apply(self, steps: Sequence[Step], keep: int) -> None:
        """Get all that is missing, then bring it into use, then remove versions but the newest `keep` that were in use.

        :raises Failed: something is not what it should be; what is in use has not changed, then.
        """
        with self._locked():
            self._obtain_all(steps)
            for step in steps:
                self._use(step)
                self._prune(step, keep)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _obtain_all(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.fetch:
                self._obtain(step)

    def _obtain(self, step: Step) -> None:
        home = step.target.parent
        home.mkdir(exist_ok=True)
        for left in home.glob(".new-*"):
            shutil.rmtree(left)  # of a run that was killed
        draft = Path(tempfile.mkdtemp(dir=home, prefix=".new-"))
        try:
            title = f"{step.wanted.name} {step.wanted.version}"
            where = self.files.get(step.offer.sha256) or step.offer.url
            try:
                with opened(where) as source:
                    programs, actual = _unpack(source, draft)
            except (OSError, tarfile.TarError, EOFError) as error:
                raise Failed(f"{title}: {where}: {error}") from error
            if actual != step.offer.sha256:
                raise Failed(f"{title}: {where} is damaged: its sum is {actual}, expected {step.offer.sha256}")
            self._judge(title, where, draft, programs, step.wanted)
            record = {"name": step.wanted.name, "version": step.wanted.version, "programs": programs}
            (draft / RECORD).write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
            for file in draft.iterdir():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            draft.chmod(0o755)
            if step.target.exists():  # and not complete
                step.target.replace(draft.with_name(f"{draft.name}-damaged"))
            draft.replace(step.target)
        finally:
            for left in home.glob(".new-*"):
                shutil.rmtree(left)

    def _judge(self, title: str, where: str, draft: Path, programs: Mapping[str, Any], wanted: Wanted) -> None:
        if set(programs) != set(wanted.programs):
            raise Failed(f"{title}: {where} has {', '.join(sorted(programs))}, expected {', '.join(wanted.programs)}")
        for name in wanted.programs:
            found = _elf.architecture(draft / name)
            if found != self.architecture:
                raise Failed(f"{title}: {name} in {where} is for {found}, expected {self.architecture}")

    def _use(self, step: Step) -> None:
        current = step.target.parent / "current"
        if step.before != step.target.name:
            _point(current, Path(step.target.name))
            os.utime(step.target)  # in use last: which versions are kept goes by that
        if step.link:
            step.wanted.directory.mkdir(parents=True, exist_ok=True)
        for name in step.link:
            _point(step.wanted.directory / name, self._link(step.wanted, name))
        for path in step.unlink:
            path.unlink()

    def _prune(self, step: Step, keep: int) -> None:
        versions = [path for path in step.target.parent.iterdir() if path.is_dir() and not path.is_symlink()]
        latest = [step.before, step.target.name]
        versions.sort(key=lambda path: (latest.index(path.name) if path.name in latest else -1, path.stat().st_mtime))
        for path in versions[:-keep]:
            shutil.rmtree(path)


def changed_programs(steps: Sequence[Step]) -> list[str]:
    """The programs in use that are others now, by their contents; call it when everything is done."""
    changed = []
    for step in steps:
        old = _record(step.target.parent / step.before)["programs"] if step.before else {}
        new = _record(step.target)["programs"] or dict.fromkeys(step.wanted.programs)  # check mode: not known yet
        changed += [name for name, about in new.items() if about is None or about != old.get(name)]
    return sorted(changed)


def _record(place: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"programs": {}}
    return record


def _point(link: Path, target: Path) -> None:
    """Make a link, or let one point elsewhere, at once."""
    draft = link.with_name(f".{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)


@contextmanager
def opened(where: str) -> Iterator[IO[bytes]]:
    if where.startswith("/"):
        with Path(where).open("rb") as file:
            yield file
        return
    try:
        with _OPENER.open(where, timeout=TIMEOUT) as answer:
            yield answer
    except urllib.error.URLError as error:
        raise Failed(f"{where}: {getattr(error, 'reason', error)}") from error


class _Hashed:
    """A stream that is hashed as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source, self.digest = source, hashlib.sha256()

    def read(self, size: int = CHUNK) -> bytes:
        block = self.source.read(size)
        self.digest.update(block)
        return block


def _unpack(source: IO[bytes], target: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """Write the programs of an archive into a directory: {name: {sha256, size}}, and the sum of the whole archive."""
    stream, programs = _Hashed(source), {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        for entry in archive:
            content = archive.extractfile(entry)
            if content is None or "/" in entry.name or entry.name.startswith("."):
                raise Failed(f"{entry.name}: an archive of programs holds nothing else")
            digest, size = hashlib.sha256(), 0
            with (target / entry.name).open("wb") as output:
                for block in iter(lambda content=content: content.read(CHUNK), b""):  # type: ignore[misc]
                    digest.update(block)
                    size += len(block)
                    output.write(block)
            (target / entry.name).chmod(0o755)
            programs[entry.name] = {"sha256": digest.hexdigest(), "size": size}
    while stream.read():
        pass
    return programs, stream.digest.hexdigest()
