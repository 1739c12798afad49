# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded backend of secrets: one Ansible Vault file per owner, `<directory>/<owner>.yml`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, get_file_vault_secret, is_encrypted, match_encrypt_secret

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import NAME, Secret, SecretsError, check_name

# Seconds that a writer waits for another one; a transaction takes some milliseconds.
LOCK_WAIT = 10.0

_PUT_BACK = "Nothing was changed; put back a copy from your version control or backup"

# What was decrypted in this process or, before the fork, in its parent: {(path, inode, mtime in ns, size): secrets}.
_cache: dict[tuple[str, int, int, int], Mapping[str, Secret]] = {}


@dataclass
class Passwords:
    """The vault passwords of a run, read when they are first needed.

    loader: Ansible's DataLoader, which holds what --vault-id, --ask-vault-pass or the configuration gave.
    file: the site's own password file or program (variable `secrets_vault_password_file`); it comes first.
    """

    loader: Any
    file: str | None = None
    _secrets: list[tuple[str, Any]] | None = field(default=None, repr=False)

    def library(self, path: Path) -> VaultLib:
        """A VaultLib with every password. Raises SecretsError when there is none; `path` is what it is needed for."""
        if self._secrets is None:
            found: list[tuple[str, Any]] = []
            if self.file:
                try:
                    secret = get_file_vault_secret(filename=self.file, loader=self.loader)
                    secret.load()
                except AnsibleError as error:
                    raise SecretsError(f"secrets_vault_password_file: {error}") from error
                found.append((C.DEFAULT_VAULT_IDENTITY, secret))
            self._secrets = found + list(self.loader._vault.secrets or [])
        if not self._secrets:
            raise SecretsError(
                f"{path}: there is no vault password; give --vault-password-file or --vault-id, "
                "or set the variable secrets_vault_password_file"
            )
        return VaultLib(self._secrets)


@dataclass(frozen=True)
class VaultFiles:
    """The Store over a directory of vault files."""

    directory: Path
    passwords: Passwords
    lock_wait: float = LOCK_WAIT

    def path(self, owner: str) -> Path:
        """The file of an owner."""
        return self.directory / f"{check_name('an owner of secrets', owner)}.yml"

    def describe(self, owner: str) -> str:
        """Where this owner's secrets are, for messages."""
        return str(self.path(owner))

    def read(self, owner: str) -> Mapping[str, Secret]:
        """All secrets of an owner by name, from the cache when the file is the one that was last decrypted."""
        path = self.path(owner)
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                key = (str(path), status.st_ino, status.st_mtime_ns, status.st_size)
                if key not in _cache:
                    _cache[key] = self._decrypt(path, file.read())[0]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SecretsError(f"{path}: can't be read: {error.strerror}") from error
        return _cache[key]

    @contextlib.contextmanager
    def transaction(self, owner: str) -> Iterator[MutableMapping[str, Secret]]:
        """Hold the owner's file alone; write the mapping when the block ends without an exception and it changed."""
        path = self.path(owner)
        with contextlib.ExitStack() as stack:
            try:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                stack.enter_context(_locked(self.directory / ".lock", self.lock_wait))
                _remove_leftovers(path)
                data = path.read_bytes() if path.exists() else None
            except OSError as error:
                raise SecretsError(f"{path}: can't be changed: {error.strerror}") from error
            before, vault_id, secret = self._decrypt(path, data) if data is not None else ({}, *self._new(path))
            held = dict(before)
            yield held
            if held != before:
                plain = yaml.safe_dump({name: held[name].as_data() for name in sorted(held)}, sort_keys=True)
                # The password that opened the file closes it again: a change of password is its own step.
                try:
                    _replace(path, self.passwords.library(path).encrypt(plain, secret, vault_id=vault_id))
                except OSError as error:
                    raise SecretsError(
                        f"{path}: can't be written, what was there is unchanged: {error.strerror}"
                    ) from error

    def owners(self) -> list[str]:
        """Who has secrets here, sorted."""
        return sorted(path.stem for path in self.directory.glob("*.yml") if NAME.fullmatch(path.stem))

    def remove(self, owner: str) -> None:
        """Take away the owner's file."""
        path = self.path(owner)
        try:
            with _locked(self.directory / ".lock", self.lock_wait):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise SecretsError(f"{path}: can't be removed: {error.strerror}") from error

    def _new(self, path: Path) -> tuple[str, Any]:
        """Identity and password for a file that is not there yet."""
        library = self.passwords.library(path)
        if self.passwords.file:
            identity, secret = library.secrets[0]
            return str(identity), secret
        try:
            identity, secret = match_encrypt_secret(library.secrets, C.DEFAULT_VAULT_ENCRYPT_IDENTITY)
        except AnsibleError as error:
            raise SecretsError(f"{path}: {error}") from error
        return str(identity), secret

    def _decrypt(self, path: Path, data: bytes) -> tuple[dict[str, Secret], str, Any]:
        """The secrets in a file's bytes, and identity and password that opened it. Raises SecretsError."""
        if not is_encrypted(data):
            what = "was cut off, nothing is left of it" if not data.strip() else "is not an Ansible Vault file"
            raise SecretsError(f"{path}: {what}. {_PUT_BACK}")
        if not data.endswith(b"\n"):
            raise SecretsError(f"{path}: was cut off, its last line has no end. {_PUT_BACK}")
        try:
            plain, identity, secret = self.passwords.library(path).decrypt_and_get_vault_id(data)
        except AnsibleError as error:
            if _body_broken(data):
                raise SecretsError(
                    f"{path}: was cut off or altered, its body is not what Ansible Vault writes. {_PUT_BACK}"
                ) from error
            raise SecretsError(
                f"{path}: none of the vault passwords opens it. Either the password is wrong "
                "(see --vault-password-file and secrets_vault_password_file), or the file was altered. "
                "Nothing was changed"
            ) from error
        try:
            content = yaml.load(plain, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe loaders
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f" (line {mark.line + 1})" if mark else ""
            # The parser's own message quotes the text around the fault: never shown, it may be a value.
            raise SecretsError(
                f"{path}: opens, but is no valid YAML{line}; correct it with ansible-vault edit"
            ) from None
        if not isinstance(content, dict):
            raise SecretsError(f"{path}: opens, but is no mapping of secret names; correct it with ansible-vault edit")
        for name in content:
            if not isinstance(name, str) or NAME.fullmatch(name) is None:
                raise SecretsError(f"{path}: {name!r} is no name of a secret; correct it with ansible-vault edit")
        held = {name: Secret.of(entry, f"{path}: {name}") for name, entry in content.items()}
        return held, str(identity), secret


def _body_broken(data: bytes) -> bool:
    """Whether the part after the header can't be what Ansible Vault wrote, whatever the password.

    Its format: hex of salt, HMAC and AES-CTR ciphertext, each in hex again, padded to blocks of 16 bytes
    (https://docs.ansible.com/ansible/latest/vault_guide/vault_encrypting_content.html).
    """
    try:
        salt, digest, text = bytes.fromhex(b"".join(data.split(b"\n")[1:]).decode()).split(b"\n", 2)
        lengths = [len(bytes.fromhex(part.decode())) for part in (salt, digest, text)]
    except ValueError:
        return True
    return lengths[:2] != [32, 32] or lengths[2] == 0 or lengths[2] % 16 != 0


@contextlib.contextmanager
def _locked(path: Path, wait: float) -> Iterator[None]:
    """Hold the directory's lock. The kernel drops it when the holder dies, so a kill leaves nothing to clean up.

    Raises SecretsError naming the holder after `wait` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "an unknown process"
                    raise SecretsError(
                        f"{path.parent}: another run is writing secrets ({holder}) and did not end within {wait:g} s; "
                        "nothing was changed, run again when it is done"
                    ) from None
                time.sleep(0.05)
        with contextlib.suppress(OSError):  # a courtesy to the one who waits; a full disk shows at the file itself
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Remove what a killed writer left. Only under the lock, when nobody writes. They hold no plain text."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink()


def _replace(path: Path, data: bytes) -> None:
    """Put data at path so that a reader or a crash sees the old file or the new one, never a part of one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
