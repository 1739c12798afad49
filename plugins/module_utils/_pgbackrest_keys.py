# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passphrases open a pgBackRest repository.

The passphrase encrypts archive.info and backup.info alone; they hold the keys of all that lies below (pgBackRest,
"Encryption"). Each has a copy beside it, which pgBackRest reads when it can't read the first (src/info/info.c,
infoLoad). So a repository is open to two passphrases at once: to one by the files, to the other by their copies. A
backup writes backup.info and its copy anew with the passphrase that it began with, so every phase looks again.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

CONFIGURATIONS = "/etc/pgbackrest/stores"
#: What the program that makes copies holds all the while.
LOCK = Path("/var/lib/holdfast/postgresql-backup/run.lock")
_COPY = ".copy"
#: How pgBackRest ends when a passphrase is wrong: CryptoError, or FormatError when its padding is right by chance; and
#: FileMissingError, when a file is lost and its copy is not.
_WRONG = (95, 29, 55)
_BEGINNING = "[backrest]\n"


@dataclass(frozen=True)
class Passphrases:
    """current: what members use; other: what has to open the repository besides, if any; retired: what must not."""

    current: str = field(repr=False)
    other: str = field(default="", repr=False)
    retired: str = field(default="", repr=False)

    @property
    def known(self) -> list[str]:
        """Those that a file can have."""
        return [one for one in (self.current, self.other, self.retired) if one]


@dataclass(frozen=True)
class Repository:
    """The repository of a stanza in one store."""

    store: str
    stanza: str

    @property
    def files(self) -> list[str]:
        """Those that a passphrase encrypts."""
        return [f"archive/{self.stanza}/archive.info", f"backup/{self.stanza}/backup.info"]

    def get(self, file: str, passphrase: str) -> str | None:
        """What a file says; None when this passphrase does not open it. Raises Failed, also when there is none."""
        done = self._run("repo-get", file, passphrase)
        if done.status in _WRONG or (not done.status and not done.out.startswith(_BEGINNING)):
            return None
        if done.status:
            raise Failed(f"store {self.store}: {file}: {' '.join((done.out + done.err).split())[-300:]}")
        if "\ufffd" in done.out:
            raise Failed(f"store {self.store}: {file}: holds what is no text")
        return done.out

    def put(self, file: str, text: str, passphrase: str) -> None:
        """Replace a file, and read it back. Raises Failed."""
        done = self._run("repo-put", file, passphrase, text)
        if done.status or self.get(file, passphrase) != text:
            raise Failed(
                f"store {self.store}: {file}: can't be written: {' '.join((done.out + done.err).split())[-300:]}"
            )

    def exists(self) -> bool:
        """Whether there is a repository: its first copy makes it, with the passphrase of that day."""
        listed = self._run("repo-ls", f"backup/{self.stanza}", "")
        if listed.status:
            raise Failed(f"store {self.store}: {' '.join((listed.out + listed.err).split())[-300:]}")
        return "backup.info" in listed.out.split()

    def _run(self, command: str, path: str, passphrase: str, text: str = "") -> Done:
        argv = ["runuser", "-u", "postgres", "--", "pgbackrest", f"--config={CONFIGURATIONS}/{self.store}.conf"]
        argv += [f"--stanza={self.stanza}", "--log-level-console=off", "--log-level-stderr=warn", command, path]
        # What is in the environment goes before what is in the file.
        env = {"PGBACKREST_REPO1_CIPHER_PASS": passphrase} if passphrase else {}
        return run(argv, env=env, stdin=text, check=False, timeout=120)


def ensure(repository: Repository, passphrases: Passphrases, *, check: bool) -> bool:
    """Let a repository be opened by what is wanted. Returns whether anything was, or would be, changed. Raises Failed.

    A copy is written before its file: whoever uses the file's passphrase of before finds it in the copy meanwhile.
    """
    if not repository.exists():
        return False
    changed = False
    for file in repository.files:
        wanted = {file + _COPY: passphrases.other or passphrases.current, file: passphrases.current}
        found = {name: repository.get(name, passphrase) for name, passphrase in wanted.items()}
        text = found[file] or said(repository, file, passphrases)
        for name, passphrase in wanted.items():
            if found[name] != text:
                changed = True
                if not check:
                    repository.put(name, text, passphrase)
    return changed


def said(repository: Repository, file: str, passphrases: Passphrases) -> str:
    """What a file says that one of the passphrases opens; its copy where none does. Raises Failed."""
    for name in (file, file + _COPY):
        for passphrase in passphrases.known:
            text = repository.get(name, passphrase)
            if text is not None:
                return text
    raise Failed(f"store {repository.store}: {file}: no passphrase of the secret opens it; nothing was changed")


def closed(repository: Repository, passphrases: Passphrases) -> Iterator[str]:
    """What does not open the repository and should. Raises Failed."""
    for file in repository.files if repository.exists() else ():
        for passphrase in (passphrases.current, passphrases.other):
            if passphrase and all(repository.get(name, passphrase) is None for name in (file, file + _COPY)):
                yield f"store {repository.store}: {file}: a passphrase that should open it does not"


def still_open(repository: Repository, passphrases: Passphrases) -> Iterator[str]:
    """What the retired passphrase opens. Raises Failed."""
    for file in repository.files if passphrases.retired else ():
        if any(repository.get(name, passphrases.retired) is not None for name in (file, file + _COPY)):
            yield f"store {repository.store}: {file}: the old passphrase still opens it"


@contextmanager
def no_copy_is_made(seconds: float) -> Iterator[None]:
    """Wait until this member makes no copy, and keep it from it. Raises Failed when it takes longer than that."""
    with LOCK.open("a") as lock:

        def look() -> str:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return (
                    f"a copy is being made for more than {seconds:.0f} s; run again when it is done, or wait longer "
                    "with postgresql_rotation_drain"
                )
            return ""

        if reason := until(look, seconds, pause=1):
            raise Failed(reason)
        yield


def leads(socket: str, port: int) -> bool:
    """Whether the server here leads: it is the one that makes copies. A server that is down does not."""
    argv = ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-h", socket, "-p", str(port), "-d", "postgres"]
    return run([*argv, "-c", "SELECT pg_is_in_recovery()"], check=False, timeout=30).out.strip() == "f"
