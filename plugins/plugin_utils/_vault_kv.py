# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other backend of secrets: the key-value engine, version 2, of Vault or OpenBao; one entry per owner.

The server's API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml
from ansible import constants as C
from cryptography.fernet import Fernet, InvalidToken

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    NAME,
    ConflictError,
    Secret,
    SecretsError,
    check_name,
)

try:
    import hvac
    import requests

    HVAC_PROBLEM = ""
except ImportError as problem:
    HVAC_PROBLEM = str(problem)

# Seconds that the server may take to answer; a write takes some milliseconds.
TIMEOUT = 10

# What was read in this process or, before the fork, in its parent; and the tokens of AppRole logins.
_cache: dict[tuple[Settings, str], Mapping[str, Secret]] = {}
_tokens: dict[Settings, str] = {}

# What a run has changed stands in a file of the run's own temporary directory, for the workers that were forked from a
# process which knows the old state. The key lives in the memory of the run's processes and nowhere else.
_RUN_KEY = Fernet.generate_key()

Answer = TypeVar("Answer")


class _DeniedError(SecretsError):
    """The token is not valid, or its policies don't allow this."""


class _GoneError(SecretsError):
    """The server did not answer, or with an error of its own: what was asked may have been done or not."""


@dataclass(frozen=True)
class Settings:
    """Where the secrets are: the variable `secrets_kv`.

    url: of the server; ca_file: what signs its certificate, without it what the machine trusts. mount, path: of the
    entries, `<mount>/<path>/<owner>`. credentials_file: YAML, for nobody but its user, with `token`, or with `role_id`
    and `secret_id`; without it the environment says VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID.
    """

    url: str
    path: str
    mount: str = "secret"
    ca_file: str = ""
    namespace: str = ""
    credentials_file: str = ""

    @classmethod
    def of(cls, data: Any, site: str) -> Settings:
        """Read the variable; site: the default of the last part of `path`. Raises SecretsError naming the key."""
        known = [item.name for item in fields(cls)]
        if not isinstance(data, Mapping):
            raise SecretsError(f"secrets_kv: has to be a mapping with url, and if need be {', '.join(known[1:])}")
        for key, value in data.items():
            if key not in known:
                raise SecretsError(f"secrets_kv: unknown key '{key}'; known are {', '.join(known)}")
            if not isinstance(value, str):
                raise SecretsError(f"secrets_kv.{key}: has to be a text")
        given = {key: str(value) for key, value in data.items()}
        settings = cls(**{"url": "", "path": f"holdfast/{site}", **given})
        address = urlsplit(settings.url)
        if not address.hostname or not (
            address.scheme == "https" or (address.scheme == "http" and _loopback(address.hostname))
        ):
            raise SecretsError("secrets_kv.url: has to be https://host:port; http:// only to this machine (127.0.0.1)")
        for key in ("mount", "path"):
            if not getattr(settings, key).strip("/"):
                raise SecretsError(f"secrets_kv.{key}: has to be a text that is not empty")
        return settings


@dataclass
class VaultKV:
    """The Store over a server. Nothing is asked before it is needed."""

    settings: Settings
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _connection: Any = field(default=None, repr=False)

    def describe(self, owner: str) -> str:
        """Where this owner's secrets are, for messages."""
        return f"{self._mount}/{self._path(owner)} at {self.settings.url}"

    def read(self, owner: str) -> Mapping[str, Secret]:
        """All secrets of an owner by name, as this run last knew them."""
        known = self._known(owner)
        if known is None:
            known = _cache[self.settings, owner] = self._fetch(owner)[0]
        return known

    @contextlib.contextmanager
    def transaction(self, owner: str) -> Iterator[MutableMapping[str, Secret]]:
        """Read the entry; write the mapping when the block ends without an exception and it changed.

        Raises ConflictError when the entry has another version by then.
        """
        before, version = self._fetch(owner)
        held = dict(before)
        yield held
        if held != before:
            self._write(owner, held, version)
        self._remember(owner, held)

    def owners(self) -> list[str]:
        """Who has secrets here, sorted."""
        try:
            body = self._ask("", lambda client: client.secrets.kv.v2.list_secrets(self._path(), self._mount))
        except hvac.exceptions.InvalidPath:
            self._check_mount()
            return []
        return sorted(key for key in body["data"]["keys"] if NAME.fullmatch(key))

    def remove(self, owner: str) -> None:
        """Take away the owner's entry with all of its versions."""
        path = self._path(owner)
        self._ask(
            owner, lambda client: client.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point=self._mount)
        )
        self._remember(owner, {})

    @property
    def _mount(self) -> str:
        return self.settings.mount.strip("/")

    def _path(self, owner: str | None = None) -> str:
        base = self.settings.path.strip("/")
        return base if owner is None else f"{base}/{check_name('an owner of secrets', owner)}"

    def _fetch(self, owner: str) -> tuple[dict[str, Secret], int]:
        """The secrets that the server has, and the version of their entry; 0 when there is none."""
        path, where = self._path(owner), self.describe(owner)
        try:
            body = self._ask(
                owner,
                lambda client: client.secrets.kv.v2.read_secret_version(
                    path, mount_point=self._mount, raise_on_deleted_version=True
                ),
            )
        except hvac.exceptions.InvalidPath as error:
            gone = ((error.json or {}).get("data") or {}).get("metadata")
            if gone:
                raise SecretsError(
                    f"{where}: version {gone['version']} was deleted; nothing was changed. Bring it back with "
                    f"`vault kv undelete -mount={self._mount} -versions={gone['version']} {path}`, or, when it is "
                    "destroyed, an earlier one with `vault kv rollback`; `vault kv metadata delete` when none is wanted"
                ) from None
            self._check_mount()
            return {}, 0
        try:
            content, version = dict(body["data"]["data"].items()), int(body["data"]["metadata"]["version"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SecretsError(f"{where}: the answer is none of a key-value engine of version 2") from None
        for name in content:
            if NAME.fullmatch(name) is None:
                raise SecretsError(f"{where}: {name!r} is no name of a secret; correct the entry")
        return {name: Secret.of(entry, f"{where}: {name}") for name, entry in content.items()}, version

    def _write(self, owner: str, held: Mapping[str, Secret], version: int) -> None:
        path, where = self._path(owner), self.describe(owner)
        data = {name: held[name].as_data() for name in sorted(held)}
        try:
            self._ask(
                owner,
                lambda client: client.secrets.kv.v2.create_or_update_secret(
                    path, data, cas=version, mount_point=self._mount
                ),
            )
        except hvac.exceptions.InvalidRequest as error:
            if "check-and-set" in str(error):
                raise ConflictError(
                    f"{where}: another run changed it meanwhile (it was version {version}); nothing of this run was "
                    "written there, run again when the other one is done"
                ) from None
            raise SecretsError(f"{where}: the server refuses what is written: {error.args[0]}") from None
        except hvac.exceptions.InvalidPath:
            raise SecretsError(f"{where}: there is no such place to write to; look at secrets_kv.mount") from None
        except _GoneError as error:
            self._look_again(owner, held, error)

    def _look_again(self, owner: str, held: Mapping[str, Secret], error: _GoneError) -> None:
        """After a write without an answer: find out what became of it."""
        try:
            found = self._fetch(owner)[0]
        except SecretsError:
            raise SecretsError(
                f"{error}. It went away while the entry was written: that is as it was, or as it was to be, never a "
                "part of either. Run again when the server answers"
            ) from None
        if found != held:
            raise SecretsError(f"{error}. Nothing was written; run again") from None

    def _check_mount(self) -> None:
        """Raise SecretsError unless there is an engine that keeps versions. Asked only when something is missing."""
        body: Any = None
        # For a place that doesn't exist, the answer is that it is forbidden.
        with contextlib.suppress(hvac.exceptions.InvalidPath, _DeniedError):
            body = self._ask("", lambda client: client.adapter.get(f"/v1/sys/internal/ui/mounts/{self._mount}"))
        found = body["data"] if body else {}
        if found.get("type") != "kv" or (found.get("options") or {}).get("version") != "2":
            what = f"{found['type']}, or one of version 1" if found else "nothing that this token may use"
            raise SecretsError(
                f"secrets_kv.mount: at '{self._mount}' of {self.settings.url} is no key-value engine of version 2 "
                f"but {what}; `vault secrets enable -path={self._mount} -version=2 kv` makes one"
            )

    def _known(self, owner: str) -> Mapping[str, Secret] | None:
        """What this run knows of an owner without asking."""
        try:
            plain = json.loads(Fernet(_RUN_KEY).decrypt(self._file(owner).read_bytes()))
        except (OSError, InvalidToken):
            return _cache.get((self.settings, owner))
        return {name: Secret.of(entry, name) for name, entry in plain.items()}

    def _remember(self, owner: str, held: Mapping[str, Secret]) -> None:
        """Let all workers of this run know what an owner has now."""
        if self._known(owner) == held:
            return
        _cache[self.settings, owner] = dict(held)
        data = json.dumps({name: secret.as_data() for name, secret in held.items()}).encode()
        file = self._file(owner)
        part = file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):  # then they ask the server
            file.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(Fernet(_RUN_KEY).encrypt(data))
            part.replace(file)

    def _file(self, owner: str) -> Path:
        name = hashlib.sha256(repr((astuple(self.settings), owner)).encode()).hexdigest()[:16]
        return Path(str(C.DEFAULT_LOCAL_TMP)) / f"holdfast-{name}.secrets"

    def _ask(self, owner: str, call: Callable[[Any], Answer]) -> Answer:
        """One question to the server. Raises SecretsError, _GoneError, or hvac's InvalidPath and InvalidRequest."""
        where = self.describe(owner) if owner else f"{self._mount}/{self._path()} at {self.settings.url}"
        try:
            try:
                return call(self._client())
            except hvac.exceptions.Forbidden:
                # A token of AppRole lives shorter than a long run.
                if _tokens.pop(self.settings, None) is None:
                    raise
                self._connection = None
                return call(self._client())
        except (hvac.exceptions.InvalidPath, hvac.exceptions.InvalidRequest):
            raise
        except hvac.exceptions.Forbidden:
            raise _DeniedError(f"{where}: permission denied. {self._why_forbidden()}. Nothing was changed") from None
        except hvac.exceptions.VaultDown:
            raise _GoneError(f"{where}: the server is sealed, or can't work; `vault status` tells") from None
        except hvac.exceptions.VaultNotInitialized:
            raise SecretsError(f"{where}: the server was never initialized; `vault status` tells") from None
        except hvac.exceptions.VaultError as error:
            raise _GoneError(f"{where}: the server has a problem of its own: {error.args[0]}") from None
        except requests.exceptions.SSLError as error:
            raise SecretsError(
                f"{where}: the server's certificate is not one that secrets_kv.ca_file vouches for: {_reason(error)}"
            ) from None
        except OSError as error:  # of requests, of the network, or ca_file is not there
            raise _GoneError(f"{where}: the server does not answer: {_reason(error)}") from None

    def _why_forbidden(self) -> str:
        """Tell a token that is not valid from a policy that is too narrow."""
        try:
            self._client().auth.token.lookup_self()
        except (hvac.exceptions.Forbidden, SecretsError):
            return "The token is not valid, or not any more"
        except (hvac.exceptions.VaultError, OSError):
            return "The token is not valid, or its policy does not allow this"
        return (
            f"The token is valid, its policies don't allow this: {self._mount}/data/{self._path()}/* needs create, "
            f"read and update, {self._mount}/metadata/{self._path()} list"
        )

    def _client(self) -> Any:
        """A connection of this process, with a token."""
        if HVAC_PROBLEM:
            raise SecretsError(f"secrets_backend: kv needs the Python library hvac: {HVAC_PROBLEM}; pip install hvac")
        if self._connection is None:
            settings = self.settings
            given = self._credentials()
            verify: bool | str = str(Path(settings.ca_file).expanduser()) if settings.ca_file else True
            client = hvac.Client(
                url=settings.url,
                token=given.get("token") or _tokens.get(settings, ""),
                verify=verify,
                timeout=TIMEOUT,
                namespace=settings.namespace or None,
            )
            if not client.token:
                try:
                    client.auth.approle.login(given["role_id"], given["secret_id"])
                except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden) as error:
                    raise SecretsError(
                        f"{settings.url}: AppRole refuses role_id and secret_id: {error.args[0]}"
                    ) from None
                except hvac.exceptions.InvalidPath:
                    raise SecretsError(f"{settings.url}: has no AppRole at auth/approle") from None
                _tokens[settings] = client.token
            self._connection = client
        return self._connection

    def _credentials(self) -> dict[str, str]:
        """`token`, or `role_id` and `secret_id`. Raises SecretsError naming what would be right."""
        if not self.settings.credentials_file:
            names = {"token": "VAULT_TOKEN", "role_id": "VAULT_ROLE_ID", "secret_id": "VAULT_SECRET_ID"}
            given = {key: self.environment[name] for key, name in names.items() if self.environment.get(name)}
            if "token" not in given and len(given) < 2:
                raise SecretsError(
                    f"{self.settings.url}: there are no credentials; set secrets_kv.credentials_file, or VAULT_TOKEN, "
                    "or VAULT_ROLE_ID and VAULT_SECRET_ID in the environment"
                )
            return given
        path = Path(self.settings.credentials_file).expanduser()
        where = f"secrets_kv.credentials_file: {path}"
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                content = yaml.safe_load(file.read())
        except OSError as error:
            raise SecretsError(f"{where}: can't be read: {error.strerror}") from None
        except yaml.YAMLError:  # whose text would quote the file
            raise SecretsError(f"{where}: is no valid YAML") from None
        if mode & 0o077:
            raise SecretsError(f"{where}: others can read it (mode {mode:03o}); chmod 600")
        keys = set(content) if isinstance(content, dict) else set()
        if keys not in ({"token"}, {"role_id", "secret_id"}) or not all(isinstance(v, str) for v in content.values()):
            raise SecretsError(f"{where}: has to be a mapping with token, or with role_id and secret_id, of texts")
        return dict(content)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: BaseException) -> str:
    """The innermost reason of an error of the network, without the names of classes around it."""
    inner: Any = error
    while True:
        deeper = inner.__cause__ or getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
        if not isinstance(deeper, BaseException):
            return str(getattr(inner, "strerror", None) or inner)
        inner = deeper
