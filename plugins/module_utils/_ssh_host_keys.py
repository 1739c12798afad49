# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host keys of sshd by generation: which there are, new ones, and what sshd shows.

A generation is a directory below /etc/ssh/holdfast with a key of each type. The first one has none: its keys are those
that sshd had before, made when it was installed. Private keys are made here and stay here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

HOME = Path("/etc/ssh/holdfast")
SSHD = "/usr/sbin/sshd"

# ssh-keygen's name of a type, by how a public key of it begins.
TYPES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa", "ecdsa-sha2-nistp256": "ecdsa"}
# How a client asks for a key of that type alone (ssh_config(5), HostKeyAlgorithms).
_ALGORITHMS = {"ssh-rsa": "rsa-sha2-512,rsa-sha2-256"}

# What sshd -T says for all addresses of the host.
_ALL = ("0.0.0.0", "[::]")  # noqa: S104 - read, never listened at


@dataclass(frozen=True)
class Wanted:
    """The generations by name: the one that sshd shows, the one that comes next, and the one before."""

    current: str
    next: str = ""
    previous: str = ""

    @property
    def names(self) -> list[str]:
        return [name for name in (self.current, self.next, self.previous) if name]


def choose(listed: Sequence[str], made: Mapping[str, Sequence[str]], wanted: Wanted) -> dict[str, list[str]]:
    """The key files of each wanted generation that has some, in the order in which sshd has to list them.

    listed: the files of which sshd's configuration knows now; made: the files of generations that have a directory.
    The current generation, else the previous one, takes those that belong to none when it has none of its own: those of
    the installation, or of an older generation on a host that was away during a rotation.
    """
    ours = {file for files in made.values() for file in files}
    older = {file for name in made.keys() - set(wanted.names) for file in made[name]}
    heirloom = [file for file in listed if file not in ours] or [file for file in listed if file in older]
    heir = next((name for name in (wanted.current, wanted.previous) if name and name not in made), "")
    found = {name: list(made.get(name, heirloom if name == heir else [])) for name in wanted.names}
    return {name: files for name, files in found.items() if files}


def unwanted(present: Collection[str], listed: Collection[str]) -> list[str]:
    """Of the private keys that are there those which sshd does not know of any more."""
    return sorted(set(present) - set(listed))


class HostKeys:
    """The keys of this host. home: where generations are; program: sshd."""

    def __init__(self, home: Path = HOME, program: str = SSHD):
        self.home, self.program = home, program

    def settings(self) -> dict[str, list[str]]:
        """sshd's configuration (sshd -T): all values of each keyword. Empty where it is not installed."""
        if not Path(self.program).exists():
            return {}
        found: dict[str, list[str]] = {}
        for line in run([self.program, "-T"]).out.splitlines():
            keyword, _, value = line.partition(" ")
            found.setdefault(keyword, []).append(value)
        return found

    def made(self) -> dict[str, list[str]]:
        """The files of the generations that have a directory."""
        if not self.home.is_dir():
            return {}
        return {
            directory.name: [str(file) for file in sorted(directory.glob("ssh_host_*_key"))]
            for directory in sorted(self.home.iterdir())
            if not directory.name.startswith(".")
        }

    def make(self, name: str, types: Sequence[str]) -> None:
        """Make the keys of a generation, all of them or none. Raises Failed."""
        self.home.mkdir(mode=0o755, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.home) as workplace:
            fresh = Path(workplace, name)
            fresh.mkdir(mode=0o755)
            for kind in types:
                run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(fresh / f"ssh_host_{kind}_key")])
            fresh.rename(self.home / name)

    def remove(self, listed: Collection[str]) -> bool:
        """Remove the keys that sshd does not know of. Returns whether there were any."""
        places = [*Path("/etc/ssh").glob("ssh_host_*_key"), *self.home.glob("*/ssh_host_*_key")]
        gone = unwanted([str(file) for file in places], listed)
        for file in gone:
            Path(file).unlink()
            Path(f"{file}.pub").unlink(missing_ok=True)
        for directory in self.home.iterdir() if self.home.is_dir() else []:
            if not any(directory.glob("ssh_host_*_key")):
                shutil.rmtree(directory)
        return bool(gone)


def public_key(file: str) -> str:
    """The public part of a key file: its type and the key itself. Raises Failed."""
    return " ".join(run(["ssh-keygen", "-y", "-P", "", "-f", file]).out.split()[:2])


def kind_of(key: str) -> str:
    """What ssh-keygen calls the type of a public key. Raises Failed for one that it would make otherwise."""
    name = key.split(maxsplit=1)[0]
    if name not in TYPES:
        raise Failed(f"sshd has a host key of the type {name}; another one of that type is not made")
    return TYPES[name]


def tried(files: Sequence[str], program: str = SSHD) -> list[str]:
    """Why a client would not get to the login with these keys: an sshd of its own shows each of them to ssh."""
    return [f"{file}: {why}" for file in files if (why := shown(public_key(file), f"{program} -i -o HostKey={file}"))]


def served(files: Sequence[str], listen: Sequence[str], seconds: float = 15) -> list[str]:
    """Why these are not the keys that the running sshd shows. listen: where it does, as sshd -T says it."""
    address, port = place(listen)

    def look() -> list[str]:
        return [f"{file}: {why}" for file in files if (why := shown(public_key(file), "", ["-p", port, address]))]

    return until(look, seconds)


def place(listen: Sequence[str]) -> tuple[str, str]:
    """Address and port of sshd for a client on this host. An address that stands for all may lack one of IPv6."""
    four = f"{_ALL[0]}:"
    address, _, port = next((entry for entry in listen if entry.startswith(four)), listen[0]).rpartition(":")
    return dict(zip(_ALL, ("127.0.0.1", "::1"))).get(address, address.strip("[]")), port


def shown(key: str, proxy: str, target: Sequence[str] = ("sshd",)) -> str:
    """Why the server at the end of a command, or at an address, does not prove to have this key; empty when it does."""
    kind = key.split(maxsplit=1)[0]
    with tempfile.NamedTemporaryFile("w", prefix="holdfast-", encoding="utf-8") as known:
        known.write(f"trial {key}\n")
        known.flush()
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "HostKeyAlias": "trial",
            "HostKeyAlgorithms": _ALGORITHMS.get(kind, kind),
            "UserKnownHostsFile": known.name,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "PreferredAuthentications": "none",
        }
        if proxy:
            options["ProxyCommand"] = proxy
        argv = ["ssh", "-F", "none", *(part for item in options.items() for part in ("-o", "=".join(item)))]
        return judge(run([*argv, "-l", "nobody", *target, "true"], check=False, timeout=30))


def judge(done: Done) -> str:
    """What ssh's end means when it offers no way to log in: that it is refused comes after the server's proof."""
    if "Permission denied (" in done.err:
        return ""
    return " ".join(done.err.split())[-200:] or f"ssh ended with {done.status}"


def ensure(state: str, wanted: Wanted, *, check: bool, keys: HostKeys | None = None) -> dict[str, Any]:
    """Carry out a state of the module; returns its result. Raises Failed.

    In check mode keys that would be made have no files yet.
    """
    keys = keys or HostKeys()
    settings, changed, problems = keys.settings(), False, []
    listed = [file for file in settings.get("hostkey", []) if Path(file).exists()]
    found = choose(listed, keys.made(), wanted)
    if state == "present" and wanted.next and wanted.next not in found:
        changed = True
        if not check:
            keys.make(wanted.next, [kind_of(public_key(file)) for file in found.get(wanted.current, [])])
            found = choose(listed, keys.made(), wanted)
    elif state == "tried" and not (check and wanted.next not in found):
        problems = tried(found.get(wanted.next, []), keys.program) if wanted.next in found else ["there is no new key"]
    elif state in ("served", "trimmed") and not check:
        problems = served(found.get(wanted.current, []), settings["listenaddress"])
    if problems:
        raise Failed("; ".join(problems))
    if state == "trimmed" and not check:
        changed = keys.remove(settings["hostkey"])
    public = {name: [public_key(file) for file in files] for name, files in found.items()}
    return {
        "changed": changed,
        "files": [file for files in found.values() for file in files],
        "public_keys": [key for these in public.values() for key in these],
        "current": public.get(wanted.current, []),
    }
