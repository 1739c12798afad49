# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the rotation of one secret goes on: what each phase makes of its versions. Nothing here talks or writes.

The phases are those of every rotation without an outage: the new value is made durable (prepared), accepted beside the
old one (added), tried from every consumer (verified), used (switched); nobody uses the old one any more (drained), it
is refused (retired), and forgotten (closed). A service is never told a phase's name alone: what it has to accept and
what its clients have to use follow from the versions of the secret, so that a site run in the middle of a rotation
does no harm and a phase can be carried out any number of times.

What the versions are while a phase is carried out, and afterwards:

=========  =======  ====  ========  =======
phase      current  next  previous  retired
=========  =======  ====  ========  =======
prepared   old      new
added      old      new
verified   old      new
switched   new            old
drained    new            old
retired    new                      old
=========  =======  ====  ========  =======
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ansible_collections.holdfast.platform.plugins.plugin_utils._duration import parse_duration
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    SLOTS,
    Journal,
    Secret,
    SecretsError,
    stamp,
)

#: In their order. `closed` is none of them: a secret that is closed has no journal.
PHASES = ("prepared", "added", "verified", "switched", "drained", "retired")

#: For how long a run that says nothing is believed to be at work. Each phase says so at its start and at its end.
LEASE = timedelta(minutes=10)


@dataclass(frozen=True)
class Run:
    """The run that rotates. controller: its name; now: in UTC; dead: other controllers that are known to be gone.

    take_over: a person says that whoever is at work on a rotation is not.
    """

    controller: str
    now: datetime
    dead: frozenset[str] = frozenset()
    take_over: bool = False

    @property
    def until(self) -> str:
        """When this run's word runs out."""
        return stamp(self.now + LEASE)

    def token(self, last: int) -> int:
        """A number that no run before this one had: the time in seconds, and more than the last one's in any case."""
        return max(last + 1, int(self.now.timestamp()))


def obstacle(secret: Secret, *, served: bool = True) -> str:
    """Why a secret can't be rotated; empty when it can. served: a service of the house puts a new value in force."""
    kind = secret.policy.rotation if secret.policy else "none"
    if kind == "none":
        return "is never rotated (rotation: none)"
    if kind == "replace" and not served:
        return (
            "its service knows one value at a time (rotation: replace) and is none of the house's, so nothing here can "
            "give it a new one; declare it `dual` or `alternate` when it can take two"
        )
    return ""


def begin(path: str, secret: Secret, value: str, rotation: str, run: Run) -> Secret:
    """Start a rotation to a new value, or go on with the one that is under way.

    Raises SecretsError when the secret can't be rotated, or when another run is at work on it.
    """
    if reason := obstacle(secret):
        raise SecretsError(f"{path}: {reason}")
    if secret.journal:
        return take(path, secret, run)
    journal = Journal(
        id=rotation,
        phase="prepared",
        began=stamp(run.now),
        before=secret.created,
        controller=run.controller,
        until=run.until,
        token=run.token(0),
    )
    return replace(secret, next=value, previous=None, retired=None, journal=journal)


def take(path: str, secret: Secret, run: Run) -> Secret:
    """Say that this run is at work on the rotation. Raises SecretsError when another one is."""
    journal = _journal(path, secret)
    if journal.controller == run.controller:
        return replace(secret, journal=replace(journal, until=run.until))
    if not (run.take_over or journal.controller in run.dead or journal.until <= stamp(run.now)):
        raise SecretsError(
            f"{path}: {journal.controller} is at work on its rotation, phase after '{journal.phase}'; nothing was "
            f"changed. Wait for it; when it died, it is taken for dead at {journal.until}, or at once with "
            "rotate_take_over=true"
        )
    return replace(
        secret,
        journal=replace(journal, controller=run.controller, until=run.until, token=run.token(journal.token)),
    )


def remaining(secret: Secret) -> tuple[str, ...]:
    """The phases that are still to be carried out, in their order; empty when no rotation is under way."""
    return PHASES[PHASES.index(secret.journal.phase) + 1 :] if secret.journal else ()


def at(secret: Secret, phase: str, controller: str) -> bool:
    """Whether the secret's rotation is at this phase, in the hands of this controller."""
    return secret.journal is not None and secret.journal.controller == controller and remaining(secret)[:1] == (phase,)


def enter(path: str, secret: Secret, phase: str, run: Run) -> Secret:
    """What the secret is while a phase is carried out, written before a host is touched. The same when done again.

    Raises SecretsError when it is not this phase's turn, or when another run has taken the rotation over.
    """
    journal = _mine(path, secret, run)
    if remaining(secret)[:1] != (phase,):
        raise SecretsError(f"{path}: after '{journal.phase}' comes {remaining(secret)[:1] or 'the end'}, not '{phase}'")
    secret = replace(secret, journal=replace(journal, until=run.until))
    if phase == "switched" and secret.next is not None:
        return replace(
            secret,
            current=secret.next,
            previous=secret.current,
            next=None,
            slot=secret.other_slot,
            created=journal.began,
            journal=replace(journal, until=run.until, switched=stamp(run.now)),
        )
    if phase == "retired" and secret.previous is not None:
        return replace(secret, previous=None, retired=secret.previous)
    return secret


def finish(path: str, secret: Secret, phase: str, run: Run) -> Secret:
    """The secret after a phase was carried out on every host that it concerns."""
    entered = enter(path, secret, phase, run)
    if replace(entered, journal=None) != replace(secret, journal=None):
        raise SecretsError(f"{path}: the phase '{phase}' was never entered, so it can't be finished")
    return replace(entered, journal=replace(_journal(path, entered), phase=phase))


def close(path: str, secret: Secret, run: Run) -> Secret:
    """Forget the old value. Raises SecretsError before it is proved to be refused."""
    _mine(path, secret, run)
    if remaining(secret):
        raise SecretsError(f"{path}: can't be closed before {', '.join(remaining(secret))}")
    return replace(secret, retired=None, journal=None)


def abort(path: str, secret: Secret, run: Run) -> Secret:
    """Turn the rotation round: back to the value from before it. The phases that are left then undo it.

    Raises SecretsError when there is none, or when the old value is refused already.
    """
    taken = take(path, secret, run)
    journal = _journal(path, taken)
    if journal.back:
        return taken
    if taken.retired is not None:
        raise SecretsError(
            f"{path}: the old value is refused already, so there is no way back; finish this rotation, "
            "and begin another one"
        )
    if taken.previous is None:
        # Nobody uses the new value yet: it goes as an old one goes that is drained.
        return replace(taken, next=None, retired=taken.next, journal=replace(journal, back=True, phase="drained"))
    return replace(
        taken,
        current=taken.previous,
        previous=taken.current,
        slot=taken.other_slot,
        created=journal.before,
        journal=replace(journal, back=True, phase="verified", switched=stamp(run.now)),
    )


def due(secret: Secret, now: datetime) -> bool:
    """Whether its lifetime is over, or its rotation under way. Without a lifetime it never is due by itself."""
    if secret.journal:
        return True
    at = next_rotation(secret)
    return at is not None and at <= now


def next_rotation(secret: Secret) -> datetime | None:
    """When the secret's lifetime is over; None for one that has none, or is never rotated."""
    policy = secret.policy
    if policy is None or policy.lifetime is None or policy.rotation == "none" or not secret.created:
        return None
    return datetime.fromisoformat(secret.created) + parse_duration(policy.lifetime)


@dataclass(frozen=True)
class Account:
    """A user and a password that the service has to accept; login False: the user is there, and can't log in."""

    user: str
    password: str | None
    login: bool = True


def alternates(secret: Secret) -> bool:
    """Whether the secret stands for two users."""
    return secret.policy is not None and secret.policy.rotation == "alternate"


def accounts(user: str, secret: Secret, *, own: bool = False) -> list[Account]:
    """The users that a secret stands for: of one that alternates `<user>_a` and `<user>_b`, else the user itself.

    Both are always there, so that grants and drops are never part of a rotation. own: a user that services have among
    themselves; the first of the two bears the plain name, which it had before there was a second one.
    """
    if not alternates(secret):
        return [Account(user, secret.current)]
    other = secret.next if secret.next is not None else secret.previous
    pairs = {
        secret.slot: Account(_named(user, secret.slot, own), secret.current),
        secret.other_slot: Account(_named(user, secret.other_slot, own), other, login=other is not None),
    }
    return [pairs[slot] for slot in sorted(pairs)]


def credential(user: str, secret: Secret, version: str = "current", *, own: bool = False) -> Account | None:
    """What a client logs in with; version is one of a secret's. None when the secret does not have it.

    The next value of a secret that is replaced is none yet: its service has not heard of it. own: as in accounts.
    """
    password = getattr(secret, version)
    if password is None or (version == "next" and secret.policy and secret.policy.rotation == "replace"):
        return None
    if not alternates(secret):
        return Account(user, password)
    return Account(_named(user, secret.slot if version == "current" else secret.other_slot, own), password)


def _named(user: str, slot: str, own: bool) -> str:
    return user if own and slot == SLOTS[0] else f"{user}_{slot}"


def passwords(secret: Secret) -> list[str]:
    """The values that a service which knows several at once has to accept, the current one first."""
    return secret.accepted()


def selected(
    held: Mapping[str, Secret], names: Iterable[str], now: datetime, served: Container[str], *, only_due: bool = False
) -> dict[str, Secret]:
    """Of the secrets by path those that are to be rotated: the named ones, or all that are due.

    served: those that a service of the house puts in force. Raises SecretsError that lists what can be rotated when a
    name is none of them.
    """
    can = {path: secret for path, secret in held.items() if not obstacle(secret, served=path in served)}
    if only_due:
        return {path: secret for path, secret in can.items() if due(secret, now)}
    wanted = list(dict.fromkeys(names))
    for path in wanted:
        if path not in can:
            why = obstacle(held[path], served=path in served) if path in held else "is no secret of this site"
            raise SecretsError(f"{path}: {why}; what can be rotated: {', '.join(sorted(can))}")
    return {path: can[path] for path in wanted}


def _journal(path: str, secret: Secret) -> Journal:
    if secret.journal is None:
        raise SecretsError(f"{path}: no rotation of it is under way")
    return secret.journal


def _mine(path: str, secret: Secret, run: Run) -> Journal:
    """The journal, when this run is the one at work. Raises SecretsError."""
    journal = _journal(path, secret)
    if journal.controller != run.controller:
        raise SecretsError(
            f"{path}: {journal.controller} has taken its rotation over (token {journal.token}); this run stops here"
        )
    return journal
