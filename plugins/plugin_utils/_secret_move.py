# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move a site's secrets from one backend to the other, whole: every version, journals included.

The source is not touched before the copy was read back and found equal, and then only when that is asked for. So a move
that is killed, at any moment, is begun again, and finds what it had copied already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError, Store, stamp

Content = Mapping[str, Mapping[str, Secret]]


@dataclass(frozen=True)
class Plan:
    """What a move has to do. copy: owners to be written. kept: those that only the target has, and keeps."""

    copy: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def content(store: Store) -> dict[str, dict[str, Secret]]:
    """Everything that a store holds, by owner and name, read anew. Raises SecretsError."""
    found = {}
    for owner in store.owners():
        with store.transaction(owner) as held:  # which reads from the backend and not what this run knows of it
            found[owner] = dict(held)
    return found


def plan(source: Content, target: Content, now: datetime, gone: Callable[[str], bool], *, replace: bool) -> Plan:
    """Compare both sides. gone: whether a controller's run has ended.

    Raises SecretsError when there is nothing to move, when a run is at work on a rotation, or when the target holds
    something else under a name, unless `replace` says that the source is right.
    """
    if not source:
        raise SecretsError("there are no secrets to move")
    busy = [
        f"{owner}/{name} ({secret.journal.controller})"
        for owner, secrets in source.items()
        for name, secret in secrets.items()
        if secret.journal and secret.journal.until > stamp(now) and not gone(secret.journal.controller)
    ]
    if busy:
        raise SecretsError(f"a rotation is at work on {', '.join(sorted(busy))}; nothing was moved, wait for it")
    differ = [
        f"{owner}/{name}"
        for owner, secrets in target.items()
        if owner in source
        for name, secret in secrets.items()
        if source[owner].get(name) != secret
    ]
    if differ and not replace:
        raise SecretsError(
            f"other values are there already: {', '.join(sorted(differ))}; nothing was moved. When those are the old "
            "ones, secrets_move_replace=true replaces them"
        )
    return Plan(
        copy=[owner for owner in sorted(source) if target.get(owner) != source[owner]],
        kept=sorted(target.keys() - source.keys()),
    )


def carry(source: Store, target: Store, planned: Plan, *, remove: bool) -> None:
    """Copy, read back, compare; then take the source away when that is asked for. Raises SecretsError."""
    for owner in planned.copy:
        with source.transaction(owner) as held:  # of files: nobody changes them meanwhile
            given = dict(held)
            with target.transaction(owner) as taken:
                taken.clear()
                taken.update(given)
    here, there = content(source), content(target)
    unlike = sorted(owner for owner in here if here[owner] != there.get(owner))
    if unlike:
        raise SecretsError(
            f"{', '.join(unlike)}: differs after it was copied, another run may have changed it meanwhile; nothing was "
            "taken away, run again"
        )
    if remove:
        for owner in here:
            source.remove(owner)
