# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening the site's secret store from a run's variables: what the lookup and the actions share."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.group import Group
from ansible.plugins.vars.host_group_vars import VarsModule
from ansible.template import Templar
from ansible.utils.vars import load_extra_vars

from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import (
    Catalogue,
    CatalogueError,
    SecretPolicy,
    load,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._duration import format_duration
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    Store,
    check_name,
    placeholder,
    split_path,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles

#: The backends, by the value of the variable `secrets_backend`.
BACKENDS = ("files", "kv")


def open_store(variables: Mapping[str, Any], templar: Any, loader: Any) -> Store:
    """The store that `secrets_backend` names, for one host's variables. Raises SecretsError when it can't be known."""
    return open_backend(str(templar.template(variables.get("secrets_backend")) or "files"), variables, templar, loader)


def open_backend(backend: str, variables: Mapping[str, Any], templar: Any, loader: Any) -> Store:
    """One backend: that of `secrets_dir` and `secrets_vault_password_file`, or that of `secrets_kv`.

    Raises SecretsError when neither `secrets_dir` nor an inventory directory is known, or `secrets_kv` is wrong.
    """
    if backend not in BACKENDS:
        raise SecretsError(f"secrets_backend: is {backend!r}, it has to be one of {', '.join(BACKENDS)}")
    if backend == "kv":
        from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_kv import (  # noqa: PLC0415 - 0.3 s to load
            Settings,
            VaultKV,
        )

        site = str(templar.template(variables.get("site_name")) or "site")
        given = templar.template(variables.get("secrets_kv"))
        return VaultKV(Settings.of(json.loads(json.dumps(given)), site))  # plain texts
    directory = templar.template(variables.get("secrets_dir"))
    if not directory:
        inventory = variables.get("inventory_dir")
        if not inventory:
            raise SecretsError("secrets_dir: is not set, and this inventory has no directory to hold secrets; set it")
        directory = Path(str(inventory)) / "secrets"
    return VaultFiles(Path(str(directory)).expanduser(), passwords(variables, templar, loader))


def passwords(variables: Mapping[str, Any], templar: Any, loader: Any) -> Passwords:
    """The vault passwords of the run and of `secrets_vault_password_file`."""
    file = templar.template(variables.get("secrets_vault_password_file"))
    return Passwords(loader, str(Path(str(file)).expanduser()) if file else None)


def preload(directory: Path, variables: Mapping[str, Any], loader: Any) -> None:
    """Read every owner of a site once, before workers are forked, so that none of them has to.

    directory: of the inventory. variables: what the inventory plugin gives to all hosts; group_vars/all and
    --extra-vars, which Ansible reads later, are read here. For the inventory plugin, and therefore quiet: a listing
    needs no password, and what is wrong is told by the step that needs a secret.
    """
    with contextlib.suppress(SecretsError, AnsibleError):
        shared = VarsModule().get_vars(loader, str(directory), [Group("all")])
        known = {"inventory_dir": str(directory), **variables, **shared, **load_extra_vars(loader)}
        store = open_store(known, Templar(loader, variables=known), loader)
        for owner in store.owners():
            with contextlib.suppress(SecretsError):
                store.read(owner)


def read_value(store: Store, path: str, *, version: str = "current", check: bool = False) -> str:
    """One version of a secret. In check mode a missing current value is a placeholder of the declared shape.

    Raises SecretsError that names the step or the descriptor key which would make the secret.
    """
    secret = read_secret(store, path, check=check and version == "current")
    value = getattr(secret, version)
    if not isinstance(value, str):
        raise SecretsError(f"{path}: has no {version} value in {store.describe(split_path(path)[0])}")
    return value


def read_secret(
    store: Store, path: str, extra: Mapping[str, Mapping[str, Any]] | None = None, *, check: bool = False
) -> Secret:
    """A secret with its versions. In check mode a missing one has a placeholder of the declared shape.

    extra: the site's own declarations, for the policy of a placeholder. Raises SecretsError as `read_value` does.
    """
    owner, name = split_path(path)
    secret = store.read(owner).get(name)
    if secret is not None:
        return secret
    policy = declared_policy(owner, name, extra)
    if check:
        return Secret(placeholder(f"{owner}/{name}", policy or Policy()), "", policy=policy)
    raise SecretsError(f"{path}: is not in {store.describe(owner)}; {_who_makes(owner, name, policy)}")


def declared_policy(owner: str, name: str, extra: Mapping[str, Mapping[str, Any]] | None = None) -> Policy | None:
    """The policy in the owner's descriptor or among the site's own, or None when nothing declares the secret."""
    service = _catalogue().services.get(owner)
    declared = {secret.name: _policy(secret) for secret in service.secrets} if service else {}
    for key, data in (extra or {}).get(owner, {}).items():
        declared.setdefault(key, Policy.of(data or {}, f"extra.{owner}.{key}"))
    return declared.get(name)


def site_secrets(variables: Mapping[str, Any], templar: Any) -> dict[str, dict[str, Any]]:
    """The secrets that the site itself declares (variable `site_secrets`), as plain texts and numbers."""
    given: dict[str, dict[str, Any]] = json.loads(json.dumps(templar.template(variables.get("site_secrets")) or {}))
    return given


def declared_policies(
    groups: Mapping[str, Sequence[str]], extra: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Policy]]:
    """What the inventory's services and the site itself ask for: {owner: {name: policy}}.

    groups: the inventory's groups with their hosts; an empty group asks for nothing. extra: the site's own, as data.
    """
    catalogue = _catalogue()
    declared: dict[str, dict[str, Policy]] = {}
    placed = catalogue.placed(name for name, hosts in groups.items() if hosts)
    for secret in catalogue.secrets_of(service.name for service in placed):
        declared.setdefault(secret.owner, {})[secret.name] = _policy(secret)
    for owner, policies in extra.items():
        check_name("an owner of secrets", owner)
        for name, data in _mapping(policies, f"extra.{owner}").items():
            where = f"extra.{owner}.{check_name('a secret', name)}"
            if name in declared.get(owner, {}):
                raise SecretsError(f"{where}: roles/{owner}/meta/service.yml declares it already; take it out of extra")
            declared.setdefault(owner, {})[name] = Policy.of(_mapping(data or {}, where), where)
    return declared


def declared_certificates(service: str) -> dict[str, dict[str, Any]]:
    """The certificates that a service's descriptor declares, by name, in the form in which a task would give them."""
    try:
        certificates = _catalogue().certificates_of(service)
    except CatalogueError as error:
        raise SecretsError(str(error)) from error
    return {
        certificate.name: {
            "owner": certificate.owner,
            "group": certificate.group,
            "usage": list(certificate.usage),
            "names": list(certificate.names),
        }
        for certificate in certificates
    }


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SecretsError(f"{where}: has to be a mapping")
    return value


def _catalogue() -> Catalogue:
    try:
        return load(check=False)
    except CatalogueError as error:
        raise SecretsError(str(error)) from error


def _policy(secret: SecretPolicy) -> Policy:
    lifetime = format_duration(secret.lifetime) if secret.lifetime else None
    return Policy(secret.length, secret.alphabet, lifetime, secret.rotation, secret.kind)


def _who_makes(owner: str, name: str, policy: Policy | None) -> str:
    """Say which step makes a secret that is missing, or what would declare it."""
    step = "the task holdfast.platform.secrets, the first of playbooks/site.yml,"
    if owner == "pki":
        return f"{step} makes the site's CA"
    if policy is not None:
        return f"{step} makes it"
    return (
        f"nothing declares it: add secrets.{name} to roles/{owner}/meta/service.yml, or {owner}.{name} to that task's "
        f"option extra; then {step} makes it"
    )
