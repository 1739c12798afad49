# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building an artifact's programs from the Go module proxy, so that two builds give the same bytes.

Each is built in a throw-away module that requires the program's own, because replacements are read in the main module
only (https://go.dev/ref/mod#go-mod-file-replace). What is downloaded is held against the checksum database. Which Go
builds is pinned, too: a Go of 1.21 or newer gets that one through the module proxy (https://go.dev/doc/toolchain).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.plugin_utils._artifact_lock import COLLECTION, Artifact, Build

LEAST = (1, 21)
LIMIT = 4 * 3600.0
"""Seconds until a build is given up; the longest takes five minutes on two idle cores."""
_PARALLEL = re.compile(r"-p=\d+")


def module(build: Build, artifact: Artifact) -> str:
    """The text of the throw-away module's go.mod."""
    lines = ["module example.invalid/holdfast", "", f"go {artifact.go}", ""]
    lines += [f"require {name} {artifact.fill(version)}" for name, version in build.modules.items()]
    for name, text in build.replace.items():
        other, _, version = artifact.fill(text).rpartition("@")
        lines.append(f"replace {name} => {other or name} {version}")
    lines += [f"exclude {name} {artifact.fill(version)}" for name, version in build.exclude.items()]
    return "\n".join(lines) + "\n"


def environment(go: str, architecture: str, given: Mapping[str, str]) -> dict[str, str]:
    """The variables that a build depends on. Of the user's own flags only the number of parallel steps is left."""
    return {
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": architecture,
        "GOAMD64": "v1",
        "GOARM64": "v8.0",
        "GOEXPERIMENT": "",
        "GOWORK": "off",
        "GOTOOLCHAIN": f"go{go}",
        "GOFLAGS": " ".join(_PARALLEL.findall(given.get("GOFLAGS", ""))),
        # Everything is held against the checksum database, whatever is called private on this machine.
        "GOPRIVATE": "",
        "GONOSUMDB": "",
        "GONOSUMCHECK": "",
        "GOINSECURE": "",
    }


def command(build: Build, artifact: Artifact, packages: Sequence[str], output: str) -> list[str]:
    """The call of `go build`, which ends with its parent; output is a directory with a slash behind it, or a file."""
    stamps = [f"-X={name}={artifact.fill(text)}" for name, text in build.stamps.items()]
    return [
        *[
            "setpriv",
            "--pdeathsig",
            "TERM",
            "nice",
            "-n",
            "10",
            "go",
            "build",
            "-mod=mod",
            "-trimpath",
            "-buildvcs=false",
        ],
        *([f"-tags={','.join(build.tags)}"] if build.tags else []),
        f"-ldflags={' '.join(['-s', '-w', '-buildid=', *stamps])}",
        f"-o={output}",
        *packages,
    ]


def without(source: str, imports: Sequence[str], name: str) -> str:
    """A Go source without some of its imports. Raises Failed when it has not all of them."""
    for path in imports:
        source, found = re.subn(rf'(?m)^\s*(_ )?"{re.escape(path)}"\n', "", source)
        if not found:
            raise Failed(f"{name}: does not import {path}, which `omit` names; correct the lock file")
    return source


def ready(go: str) -> str:
    """See that the pinned Go builds here; the version as `go` gives it, such as go1.26.8.

    :raises Failed: with what to install; or the checksum database is turned off.
    """
    program = shutil.which("go")
    if program is None:
        raise Failed(
            f"no `go` in PATH, which builds artifacts: install Go {go} from go.dev/dl, or any from {_dotted(LEAST)} on "
            f"(Debian 13: apt-get install golang-go), which gets {go} by itself through the Go module proxy"
        )
    local = run([program, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}).out.strip()
    numbers = tuple(int(number) for number in re.findall(r"\d+", local)[:2])
    if numbers < LEAST:
        raise Failed(
            f"{program} is {local}, too old to build artifacts, which need {go}: install that from go.dev/dl, or "
            f"any from {_dotted(LEAST)} on, which gets {go} by itself through the Go module proxy"
        )
    try:
        found = run([program, "env", "GOVERSION", "GOSUMDB"], env={"GOTOOLCHAIN": f"go{go}"}).out.split()
    except Failed as error:
        raise Failed(
            f"artifacts are built by Go {go}, {program} is {local} and could not get it through the Go module proxy: "
            f"install {go} from go.dev/dl; {error}"
        ) from None
    if found[1:] in ([], ["off"]):
        raise Failed("GOSUMDB is off: modules would be taken unchecked; unset it (go env -u GOSUMDB)")
    return found[0]


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(number) for number in version)


def build(artifact: Artifact, architecture: str, work: Path, output: Path) -> None:
    """Build all programs of an artifact into a directory; `go.mod` and `go.sum` there say of what.

    work is an empty directory, which is left with what Go wrote.
    :raises Failed: with what Go said.
    """
    recipe = artifact.recipe()
    environ = environment(artifact.go, architecture, os.environ)
    local = {program: package for program, package in recipe.programs.items() if package.startswith("./")}
    for program, package in local.items():
        source = work / program
        shutil.copytree(COLLECTION / package, source)
        _run(command(recipe, artifact, ["."], str(output / program)), source, environ)
    packages = {program: package for program, package in recipe.programs.items() if program not in local}
    if not packages:
        return
    (work / "go.mod").write_text(module(recipe, artifact), encoding="utf-8")
    _omit(recipe, work, environ)
    # Go names a program after its package's path; two of one name would be built one over the other.
    for program, package in _renamed(packages).items():
        _run(command(recipe, artifact, [package], str(output / program)), work, environ)
    rest = [package for program, package in packages.items() if program not in _renamed(packages)]
    if rest:
        _run(command(recipe, artifact, rest, f"{output}/"), work, environ)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(work / name, output / name)


def _renamed(packages: Mapping[str, str]) -> dict[str, str]:
    """The programs that `go build` would call otherwise: by the path's last part that is no major version."""
    return {
        program: package
        for program, package in packages.items()
        if re.sub(r"/v\d+$", "", package).rpartition("/")[2] != program
    }


def _omit(recipe: Build, work: Path, environ: Mapping[str, str]) -> None:
    """Let the module use copies of others, whose sources lack what they are to omit.

    What is in Go's module cache is checked when it is downloaded, and can't be overlaid by `go build -overlay`.
    """
    copies: dict[str, Path] = {}
    for name, imports in recipe.omit.items():
        owner = max((module for module in recipe.modules if name.startswith(f"{module}/")), key=len, default=None)
        if owner is None:
            raise Failed(f"{name}: in none of the modules of the lock file's entry")
        if owner not in copies:
            _run(["go", "mod", "download", owner], work, environ)
            origin = _run(["go", "list", "-mod=mod", "-m", "-f={{.Dir}}", owner], work, environ).strip()
            copies[owner] = work / f"changed-{len(copies)}"
            shutil.copytree(origin, copies[owner], copy_function=shutil.copyfile)
            for directory in (copies[owner], *(path for path in copies[owner].rglob("*") if path.is_dir())):
                directory.chmod(0o755)  # the module cache is read-only
        source = copies[owner] / name.removeprefix(f"{owner}/")
        source.write_text(without(source.read_text(encoding="utf-8"), imports, name), encoding="utf-8")
    with (work / "go.mod").open("a", encoding="utf-8") as file:
        file.writelines(f"replace {owner} => ./{copy.name}\n" for owner, copy in copies.items())


def _run(argv: Sequence[str], directory: Path, environ: Mapping[str, str]) -> str:
    """Run Go in a directory; what it printed. Raises Failed with what it said."""
    with subprocess.Popen(  # noqa: S603 -- argv lists only, no shell
        argv,
        cwd=directory,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            out, err = process.communicate(timeout=LIMIT)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        told = "\n".join(line for line in err.strip().splitlines() if not line.startswith("go: downloading"))
        raise Failed(f"{' '.join(argv[argv.index('go') :][:2])}: exit status {process.returncode}: {told[-2000:]}")
    return out
