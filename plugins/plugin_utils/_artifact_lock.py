# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock file: which artifacts a site installs, of which version, and where they come from.

Its structure is in `schemas/artifacts.json`; docs/artifacts.md explains its keys.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import (
    InvalidError,
    Problem,
    nearest,
    read,
    structure,
)

COLLECTION = Path(__file__).resolve().parents[2]
LOCK = COLLECTION / "artifacts.lock.yml"
ARCHITECTURES = ("amd64", "arm64")
# By a change of these numbers what a mirror holds already is made again.
FORMATS = {"build": 1, "install": 1, "files": 3}


@dataclass(frozen=True)
class Release:
    """Where the vendor publishes it. `member` is empty where the URL is the program itself."""

    url: str
    checksum: str
    member: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Build:
    """How Go builds it: programs to packages, modules to versions, and what is special about it."""

    programs: Mapping[str, str]
    modules: Mapping[str, str]
    replace: Mapping[str, str]
    exclude: Mapping[str, str]
    tags: Sequence[str]
    stamps: Mapping[str, str]
    omit: Mapping[str, Sequence[str]]
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Image:
    """A container image: which programs are in /usr/local/bin, on which Debian packages."""

    name: str
    reference: str
    programs: Sequence[str]
    entrypoint: Sequence[str]
    packages: Sequence[str]
    links: Mapping[str, str]


@dataclass(frozen=True)
class Artifact:
    """One entry. `install` are the programs that hosts get, as links in `directory`; `go` is the whole lock's."""

    name: str
    version: str
    go: str
    install: Sequence[str]
    directory: str
    release: Release | None
    build: Build | None
    images: Sequence[Image]

    def fill(self, text: str, architecture: str = "", program: str = "") -> str:
        """Fill in {version}, {major}, {minor}, {architecture} and {program}."""
        major, minor = [*self.version.split("."), "0"][:2]
        return text.format(version=self.version, major=major, minor=minor, architecture=architecture, program=program)

    def sources(self) -> list[str]:
        """Where it can come from: release, build."""
        return [source for source in ("release", "build") if getattr(self, source)]

    def key(self, kind: str, architecture: str, source: str) -> str:
        """Twelve digits that change with anything that makes another result of it.

        kind: `build` for the programs, `install` for those that hosts have, `files` for all that is made of them.
        """
        parts: dict[str, Any] = {
            "format": FORMATS["build"],
            "version": self.version,
            "architecture": architecture,
            "source": source,
        }
        if source == "build":
            parts |= {"go": self.go, "build": self._depends_on()}
        else:
            parts |= {"release": vars(self.release) if self.release else None, "install": self.install}
        if kind in ("install", "files"):
            parts |= {"install": [FORMATS["install"], self.install]}
        if kind == "files":
            parts |= {"images": [FORMATS["files"], self.directory, [vars(image) for image in self.images]]}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def recipe(self) -> Build:
        """How it is built. Raises LookupError when it is not."""
        if self.build is None:
            raise LookupError(f"{self.name} is not built")
        return self.build

    def _depends_on(self) -> dict[str, Any]:
        """What a build depends on; what sum is expected of it is not among that."""
        build = self.recipe()
        own = sorted(package for package in build.programs.values() if package.startswith("./"))
        sources = {
            str(file.relative_to(COLLECTION)): hashlib.sha256(file.read_bytes()).hexdigest()
            for package in own
            for file in sorted((COLLECTION / package).iterdir())
        }
        return {**vars(build), "sha256": None, "sources": sources}


@dataclass(frozen=True)
class Lock:
    """The whole file; artifacts by name."""

    file: str
    go: str
    artifacts: Mapping[str, Artifact]

    def chosen(self, names: Iterable[str]) -> list[Artifact]:
        """The artifacts of these names, all when there are none.

        :raises InvalidError: an unknown name.
        """
        wanted = list(names) or list(self.artifacts)
        problems = [
            Problem(self.file, f"artifacts.{name}", None, "there is no such artifact", nearest(name, self.artifacts))
            for name in wanted
            if name not in self.artifacts
        ]
        if problems:
            raise InvalidError(problems)
        return [self.artifacts[name] for name in wanted]

    def images(self, names: Iterable[str]) -> list[tuple[Artifact, Image]]:
        """The images of these names, each with the artifact that it is of.

        :raises InvalidError: an unknown name.
        """
        known = {image.name: (artifact, image) for artifact in self.artifacts.values() for image in artifact.images}
        wanted = list(names)
        problems = [
            Problem(self.file, "images", name, "there is no such image", nearest(name, known))
            for name in wanted
            if name not in known
        ]
        if problems:
            raise InvalidError(problems)
        return [known[name] for name in wanted]


def load(path: Path = LOCK) -> Lock:
    """Read a lock file.

    :raises InvalidError: with all that is wrong with it.
    """
    document = read(path, path.name)
    problems = structure(document, "artifacts", path.name)
    if not problems:
        problems = [
            problem
            for name, entry in document["artifacts"].items()
            for problem in _judge(path.name, f"artifacts.{name}", entry)
        ]
    if problems:
        raise InvalidError(problems)
    artifacts = {name: _artifact(name, entry, document["go"]) for name, entry in document["artifacts"].items()}
    return Lock(path.name, document["go"], artifacts)


def _judge(file: str, key: str, entry: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what the schema can't see."""
    build, release = entry.get("build"), entry.get("release")
    if not build and not release:
        yield Problem(file, key, None, "comes from nowhere", "give build or release, or both")
    if not entry.get("install") and not entry.get("images"):
        yield Problem(file, key, None, "nobody gets anything of it", "give install or images, or both")
    if release and "install" not in entry:
        yield Problem(file, f"{key}.install", None, "missing", "name the programs of the release that hosts install")
    if build:
        yield from _judge_build(file, key, entry)
    for where, text in _texts(key, entry):
        unknown = {name for _, name, _, _ in _fields(text) if name is not None} - FIELDS
        if unknown:
            reason = f"{{{sorted(unknown)[0]}}} stands for nothing"
            yield Problem(file, where, text, reason, f"possible: {', '.join(sorted(FIELDS))}")


def _judge_build(file: str, key: str, entry: Mapping[str, Any]) -> Iterator[Problem]:
    programs, modules = entry["build"]["programs"], entry["build"].get("modules", {})
    wanted = {f"{key}.install": entry.get("install", [])}
    for name, image in entry.get("images", {}).items():
        wanted[f"{key}.images.{name}.programs"] = image.get("programs", [name])
    for where, names in wanted.items():
        for program in [program for program in names if program not in programs]:
            yield Problem(file, where, program, "is not built", nearest(program, programs))
    for program, package in programs.items():
        where = f"{key}.build.programs.{program}"
        if package.startswith("./"):
            if not (COLLECTION / package).is_dir():
                yield Problem(file, where, package, "no such directory", "name one of this collection")
        elif not any(f"{package}/".startswith(f"{module}/") for module in modules):
            yield Problem(file, where, package, "is in none of the modules", "give its module and version in modules")


FIELDS = frozenset({"version", "major", "minor", "architecture", "program"})


def _fields(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(text))
    except ValueError:  # a brace alone
        return [("", "a brace", "", "")]


def _texts(key: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts in which something is filled in, with their keys."""
    for part, names in {"release": ("url", "checksum", "member")}.items():
        for name in names:
            if name in entry.get(part, {}):
                yield f"{key}.{part}.{name}", entry[part][name]
    for part in ("modules", "replace", "exclude", "stamps"):
        for name, text in entry.get("build", {}).get(part, {}).items():
            yield f"{key}.build.{part}.{name}", text
    for name, image in entry.get("images", {}).items():
        yield f"{key}.images.{name}.reference", image["reference"]


def _artifact(name: str, entry: Mapping[str, Any], go: str) -> Artifact:
    build = entry.get("build")
    artifact = Artifact(
        name=name,
        version=entry["version"],
        go=go,
        install=entry.get("install", []),
        directory=entry.get("directory", "/usr/local/bin"),
        release=Release(**entry["release"]) if "release" in entry else None,
        build=Build(
            programs=build["programs"],
            modules=build.get("modules", {}),
            replace=build.get("replace", {}),
            exclude=build.get("exclude", {}),
            tags=build.get("tags", []),
            stamps=build.get("stamps", {}),
            omit=build.get("omit", {}),
            sha256=build.get("sha256", {}),
        )
        if build
        else None,
        images=[],
    )
    images = [
        Image(
            name=image,
            reference=artifact.fill(spec["reference"]),
            programs=spec.get("programs", [image]),
            entrypoint=spec.get("entrypoint", [f"/usr/local/bin/{spec.get('programs', [image])[0]}"]),
            packages=spec.get("packages", []),
            links=spec.get("links", {}),
        )
        for image, spec in entry.get("images", {}).items()
    ]
    return Artifact(**{**vars(artifact), "images": images})
