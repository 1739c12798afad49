# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's CA in the secret store: owner `pki`, four secrets, which are rotated together."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from datetime import datetime

from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import (
    Authority,
    Pair,
    PkiError,
    check_authority,
    make_intermediate,
    make_root,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    split_path,
    stamp,
)

OWNER = "pki"
ROOT = ("root_certificate", "root_key")
INTERMEDIATE = ("intermediate_certificate", "intermediate_key")
POLICY = Policy(kind="pem", rotation="dual")

#: What a person names to rotate the CA, and what changes then, all of it in one write. A new intermediate under the
#: same root is no news for anybody who trusts the root.
ROTATIONS = {"pki/ca": (*ROOT, *INTERMEDIATE), "pki/intermediate": INTERMEDIATE}


def fill_authority(held: MutableMapping[str, Secret], site: str, now: datetime) -> list[str]:
    """Make what the CA lacks, check that it can sign, and return the names that were made.

    A root key that was taken offline is not missed while the intermediate is there.
    Raises SecretsError when what is there doesn't fit, or the root key is needed.
    """
    made: list[str] = []

    def keep(names: tuple[str, str], pair: Pair) -> None:
        for name, value in zip(names, (pair.certificate, pair.key), strict=True):
            held[name] = Secret(current=value, created=stamp(now))
            made.append(name)

    if not held.keys() & {*ROOT, *INTERMEDIATE}:
        keep(ROOT, make_root(site, now))
    if ROOT[0] not in held:
        raise SecretsError(
            "pki/root_certificate: is missing, but other parts of the CA are there; put it back from a copy "
            "(a new root would be one that no host trusts)"
        )
    try:
        if not held.keys() >= set(INTERMEDIATE):
            if ROOT[1] not in held:
                raise SecretsError(
                    "pki/root_key: is offline, and the intermediate has to be made; put the key back for one run "
                    "(ansible-vault edit), then take it away again"
                )
            keep(INTERMEDIATE, make_intermediate(site, Pair(*(held[name].current for name in ROOT)), now))
        authority = authority_of(held)
        if authority is None:
            raise SecretsError("pki: the CA is not complete")
        check_authority(authority, now)
    except PkiError as error:
        raise SecretsError(str(error)) from error
    for name in held.keys() & {*ROOT, *INTERMEDIATE}:
        held[name] = replace(held[name], policy=POLICY)
    return sorted(made)


def authority_of(held: Mapping[str, Secret], version: str = "current") -> Authority | None:
    """The CA of a version, or None when there is none: the current one signs today, others in a rotation.

    The root of an intermediate that is rotated alone is the current one. Trusted are, after the root that signed the
    intermediate, those of all versions that hosts have to accept.
    """
    if not held.keys() >= {ROOT[0], *INTERMEDIATE}:
        return None
    parts = {name: getattr(held[name], version) for name in (ROOT[0], *INTERMEDIATE)}
    if parts[INTERMEDIATE[0]] is None or parts[INTERMEDIATE[1]] is None:
        return None
    root = parts[ROOT[0]] or held[ROOT[0]].current
    accepted = [root, *(one for one in held[ROOT[0]].accepted() if one != root)]
    return Authority(Pair(*(str(parts[name]) for name in INTERMEDIATE)), tuple(accepted))


def parts(held: Mapping[str, Secret], path: str) -> list[str]:
    """The paths that a person means who rotates `path`: those of the CA's parts for a name of ROTATIONS, else itself.

    held: all secrets of the site by path. A root key that is offline is none of them.
    """
    under = [f"{OWNER}/{name}" for name in ROTATIONS["pki/ca"] if _under_way(held, f"{OWNER}/{name}")]
    if path not in ROTATIONS or not any(name.startswith(f"{OWNER}/") for name in held):
        return [path]
    named = [f"{OWNER}/{name}" for name in ROTATIONS[path] if f"{OWNER}/{name}" in held]
    if under and under != named:
        raise SecretsError(f"{path}: a rotation of {', '.join(under)} is under way; finish or abort that one first")
    return named


def renewed(held: Mapping[str, Secret], paths: list[str], site: str, now: datetime) -> dict[str, str]:
    """New values by path for a rotation of the CA: all of the paths that `parts` gave.

    held: all secrets of the site by path. Values that a person has put there as `next` are taken, all or none: that is
    how a CA of one's own is rotated. Raises SecretsError when a key that is needed is offline, or parts don't fit.
    """
    held = {split_path(path)[1]: secret for path, secret in held.items() if split_path(path)[0] == OWNER}
    names = [split_path(path)[1] for path in paths]
    brought = {name: str(held[name].next) for name in names if held[name].next is not None}
    new_root = ROOT[0] in names
    if not brought and ROOT[1] not in held:
        raise SecretsError(_offline(new_root))
    try:
        if brought:
            if lacking := [name for name in names if name not in brought]:
                raise SecretsError(
                    f"pki/{lacking[0]}.next: is missing, but {', '.join(brought)} have one; give all or none"
                )
            values = brought
        else:
            root = make_root(site, now) if new_root else Pair(*(held[name].current for name in ROOT))
            pairs = {ROOT: root, INTERMEDIATE: make_intermediate(site, root, now)}
            values = {
                name: value
                for key, pair in pairs.items()
                for name, value in zip(key, (pair.certificate, pair.key), strict=True)
                if name in names
            }
        trial = authority_of(
            {**held, **{name: replace(held[name], next=value) for name, value in values.items()}}, "next"
        )
        if trial is None:
            raise SecretsError("pki: the new CA is not complete")
        check_authority(trial, now)
    except PkiError as error:
        raise SecretsError(str(error)) from error
    return {f"{OWNER}/{name}": value for name, value in values.items()}


def _under_way(held: Mapping[str, Secret], path: str) -> bool:
    return path in held and held[path].journal is not None


def _offline(new_root: bool) -> str:
    if not new_root:
        return (
            "pki/root_key: is offline, and signs the new intermediate; put it back for one run (ansible-vault edit), "
            "then take it away again"
        )
    return (
        "pki/root_key: is offline, so the new one would have no old one to go back to; put it back for this rotation "
        "(ansible-vault edit), or the word `gone` in its place when nobody has it any more. For a CA of your own write "
        "its parts beside the old ones, as `next`"
    )
