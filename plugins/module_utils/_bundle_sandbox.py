# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validators judge the whole staged set at its final paths, while the host still has the old one.

A child process gets a mount namespace of its own and covers every directory that the bundle writes to with an overlay
whose changes live in memory. There it carries out the same steps as the real run, then runs the validators. Nothing
of it is seen outside, and all of it is gone when the child ends. Where an overlay can't be mounted, the directory is
copied to memory and bound over the original.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _bundle_files as files
from . import _bundle_wire as wire
from ._bundle_plan import Refused, Step

# <sched.h>, <sys/mount.h>, <sys/prctl.h>
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT = 120
COPY_LIMIT = 256 * 1024 * 1024


def find_program(name: str) -> str | None:
    """Where a program is, None when it is not installed."""
    return shutil.which(name, path=PATH)


@dataclass(frozen=True)
class Candidate:
    """A staged set that is to be judged.

    content_of(sha256) gives the bytes. interrupted: journal entries of a transaction that check mode found and may not
    undo on the host; they are undone in the view before the steps are taken.
    """

    steps: list[Step]
    validators: Sequence[Sequence[str]]
    content_of: Callable[[str], wire.Content]
    interrupted: list[dict[str, Any]]


def validate(candidate: Candidate) -> list[dict[str, Any]]:
    """Run every validator on the candidate: [{"argv", "why", "output"}] of those that failed.

    Raises Refused when the private view can't be made.
    """
    scratch = tempfile.mkdtemp(prefix="holdfast-bundle-")
    reader, writer = os.pipe()
    try:
        child = os.fork()
        if not child:
            _child(writer, scratch, candidate)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            answer = stream.read()
        _, status = os.waitpid(child, 0)
    finally:
        Path(scratch).rmdir()
    if not answer:
        raise Refused(f"the validation was ended from outside (status {status}); nothing has been changed.")
    report = json.loads(answer)
    if report["error"]:
        raise Refused(f"can't validate: {report['error']}. Nothing has been changed.")
    failed: list[dict[str, Any]] = report["failed"]
    return failed


def _child(writer: int, scratch: str, candidate: Candidate) -> None:
    """The child's whole life; it never returns."""
    report: dict[str, Any] = {"error": "", "failed": []}
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _close_all_but(writer)
        paths = [entry["path"] for entry in candidate.interrupted] + [step.path for step in candidate.steps]
        enter_private_view(libc, paths, scratch)
        files.undo(candidate.interrupted)
        # the link that keeps the old file is of no use here, and would copy it into memory
        entries = files.stage(candidate.steps, "view", candidate.content_of, keep_old=False)
        files.swap(entries)
        files.sweep(files.locate(candidate.steps, "view"), [])
        report["failed"] = [failure for argv in candidate.validators for failure in _run(argv)]
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
        report["error"] = f"{type(error).__name__}: {error}"
    finally:
        text = json.dumps(report).encode()
        while text:
            text = text[os.write(writer, text) :]
        os._exit(0)


def _close_all_but(writer: int) -> None:
    """The child must keep neither the lock nor the connection when its parent is killed."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor != writer:
            try:
                os.close(descriptor)
            except OSError:
                continue


def _run(argv: Sequence[str]) -> list[dict[str, Any]]:
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return [{"argv": list(argv), "why": "is not installed", "output": ""}]
    except subprocess.TimeoutExpired as late:
        output = (late.output or b"").decode(errors="replace")
        return [{"argv": list(argv), "why": f"did not end within {TIMEOUT} s", "output": output}]
    if done.returncode:
        output = done.stdout.decode(errors="replace")[-4000:]
        return [{"argv": list(argv), "why": f"exited with {done.returncode}", "output": output}]
    return []


# -- the private view --------------------------------------------------------------------------------------------------
def enter_private_view(libc: ctypes.CDLL, paths: Sequence[str], scratch: str) -> None:
    """Move this process into a mount namespace where writes to the directories stay in memory. Raises OSError."""
    if libc.unshare(CLONE_NEWNS):
        raise _failure("unshare")
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None):
        raise _failure("make mounts private")
    _mount(libc, "tmpfs", scratch, "mode=0700")
    directories = {nearest_directory(path) for path in paths}
    if Path("/") in directories:
        _rebuild_root(libc, Path(scratch) / "root")
    for number, root in enumerate(covered_roots(directories)):
        _cover(libc, root, Path(scratch) / str(number))


def nearest_directory(path: str) -> Path:
    """The nearest directory above a path that exists, symlinks resolved."""
    parent = Path(path).parent
    while not parent.is_dir():
        parent = parent.parent
    return parent.resolve()


def covered_roots(directories: Iterable[Path]) -> list[str]:
    """The directories that have to be covered: all but those that are covered along with others, and the root."""
    roots = sorted(set(directories) - {Path("/")})
    return [str(root) for root in roots if not any(_inside(root, other) for other in roots)]


def _rebuild_root(libc: ctypes.CDLL, new: Path) -> None:
    """Make a new root directory in memory in which everything is as it was, and move there.

    Only for a bundle that writes into the root directory itself: that one can't be covered in place.
    """
    new.mkdir()
    new.chmod(0o755)
    for entry in Path("/").iterdir():
        place = new / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
            continue
        place.mkdir() if entry.is_dir() else place.touch()
        _bind(libc, str(entry), str(place), MS_REC)
    os.chroot(new)
    os.chdir("/")


def _inside(path: Path, other: Path) -> bool:
    """Whether a directory is covered along with another one: beneath it, and on the same mounted file system."""
    return other in path.parents and path.stat().st_dev == other.stat().st_dev


def submounts(root: str, mountinfo: str) -> list[str]:
    """Mount points beneath a directory, outermost only, from the text of /proc/self/mountinfo (proc(5))."""
    points = {line.split(" ")[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()}
    inside = sorted(point for point in points if point.startswith(root.rstrip("/") + "/"))
    return [point for point in inside if not any(point.startswith(other + "/") for other in inside)]


def _cover(libc: ctypes.CDLL, root: str, work: Path) -> None:
    """Cover one directory; what is mounted inside it stays visible."""
    lower, upper, spare = (work / name for name in ("lower", "upper", "spare"))
    for directory in (lower, upper, spare):
        directory.mkdir(parents=True)
    _bind(libc, root, str(lower))
    inner = submounts(root, Path("/proc/self/mountinfo").read_text())
    kept = [os.open(point, os.O_PATH) for point in inner]
    found = Path(root).stat()
    os.chown(upper, found.st_uid, found.st_gid)
    upper.chmod(found.st_mode & 0o7777)
    try:
        _mount(libc, "overlay", root, f"lowerdir={lower},upperdir={upper},workdir={spare}")
    except OSError:
        _copy(lower, upper)
        _bind(libc, str(upper), root)
    for point, descriptor in zip(inner, kept):  # noqa: B905 - strict= is younger than the oldest Python of hosts
        _bind(libc, f"/proc/self/fd/{descriptor}", point, MS_REC)
        os.close(descriptor)


def _copy(lower: Path, upper: Path) -> None:
    """A directory with owners and modes into memory. Raises OSError when it is too large for that."""
    size = sum(entry.stat().st_size for entry in lower.rglob("*") if entry.is_file() and not entry.is_symlink())
    if size > COPY_LIMIT:
        raise OSError(f"no overlay can be mounted, and {size >> 20} MiB are too much to copy into memory")

    def copy_owned(source: str, target: str, *, follow_symlinks: bool = True) -> str:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)
        found = os.lstat(source)
        os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
        if not Path(target).is_symlink():
            Path(target).chmod(found.st_mode & 0o7777)
        return target

    ignored = shutil.ignore_patterns("*.sock")
    shutil.copytree(lower, upper, symlinks=True, copy_function=copy_owned, dirs_exist_ok=True, ignore=ignored)
    for directory in [path for path in lower.rglob("*") if path.is_dir() and not path.is_symlink()]:
        found = directory.stat()
        os.chown(upper / directory.relative_to(lower), found.st_uid, found.st_gid)


def _bind(libc: ctypes.CDLL, source: str, target: str, flags: int = 0) -> None:
    if libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(MS_BIND | flags), None):
        raise _failure(f"mount {source} on {target}")


def _mount(libc: ctypes.CDLL, kind: str, target: str, options: str) -> None:
    if libc.mount(kind.encode(), target.encode(), kind.encode(), ctypes.c_ulong(0), options.encode()):
        raise _failure(f"mount {kind} on {target}")


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
