# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the journal of rotations: begin them, enter and finish their phases, turn them round, close them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _controller, _rotation, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._columns import aligned
from ansible_collections.holdfast.platform.plugins.plugin_utils._concerned import concerned
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    declared_policies,
    open_store,
    site_secrets,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    Store,
    generate,
    split_path,
    stamp,
    update,
)

ARGUMENTS = {
    "state": {
        "type": "str",
        "choices": ["begun", "entered", "finished", "closed", "aborted", "fenced", "listed"],
        "required": True,
    },
    "secrets": {"type": "list", "elements": "str", "default": []},
    "due": {"type": "bool", "default": False},
    "phase": {"type": "str", "choices": list(_rotation.PHASES)},
    "owner": {"type": "str"},
    "take_over": {"type": "bool", "default": False},
}

#: How long hosts keep others out after the last phase.
_LAST = timedelta(seconds=30)

Change = Callable[[str, Secret], Secret]


class ActionModule(ActionBase):
    """Action `holdfast.platform.rotation`."""

    _requires_connection = False  # fencing connects by itself

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what `state` says."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, validated = self.validate_argument_spec(
            ARGUMENTS,
            required_if=[("state", state, ("phase",)) for state in ("entered", "finished")]
            + [("state", "fenced", ("owner",))],
        )
        given = json.loads(json.dumps(validated))  # plain texts
        variables = task_vars or {}
        try:
            store = open_store(variables, self._templar, self._loader)
            held = self._held(store, variables)
            if given["state"] == "fenced":
                return result | self._fence(given["owner"], held, given["take_over"], task_vars)
            site = str(self._templar.template(variables.get("site_name")) or "holdfast")
            return result | self._carry_out(store, held, given, site)
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from error

    def _held(self, store: Store, variables: Mapping[str, Any]) -> dict[str, Secret]:
        """All secrets of the site by path."""
        declared = declared_policies(variables["groups"], site_secrets(variables, self._templar))
        owners = sorted({*declared, _site_ca.OWNER})
        return {f"{owner}/{name}": secret for owner in owners for name, secret in store.read(owner).items()}

    def _carry_out(
        self, store: Store, held: Mapping[str, Secret], given: Mapping[str, Any], site: str
    ) -> dict[str, Any]:
        run = _rotation.Run(
            _controller.name(),
            datetime.now(UTC),
            frozenset(
                s.journal.controller for s in held.values() if s.journal and _controller.gone(s.journal.controller)
            ),
            given["take_over"],
        )
        state, phase = given["state"], given["phase"]
        if state == "listed":
            report = _report(held)
            return {"changed": False, "rotations": report, "table": _table(report, run.now)}
        mine = {path: s for path, s in held.items() if s.journal and s.journal.controller == run.controller}
        named = [part for path in given["secrets"] for part in _site_ca.parts(held, path)]
        turn = {path: s for path, s in mine.items() if _rotation.remaining(s)[:1] == ((phase,) if phase else ())}
        if state in ("begun", "aborted"):
            chosen = _rotation.selected(held, named, run.now, _served(), only_due=given["due"])
        else:
            chosen = turn
        rotation = uuid.uuid4().hex[:12]
        authority = _authority(chosen, held, given["secrets"], site, run.now) if state == "begun" else {}

        def change(path: str, secret: Secret) -> Secret:
            if state == "begun":
                value = "" if secret.journal else authority.get(path) or generate(secret.policy or Policy())
                return _rotation.begin(path, secret, value, rotation, run)
            if state == "aborted":
                return _rotation.abort(path, secret, run)
            if state == "closed":
                return _rotation.close(path, secret, run)
            return (_rotation.enter if state == "entered" else _rotation.finish)(path, secret, phase, run)

        after = _changed(store, chosen, change, check=self._task.check_mode)
        # What is closed has no journal to tell of any more.
        done = {"changed": after != dict(chosen), "rotations": _report(chosen if state == "closed" else after)}
        if state == "entered":
            successors = given["due"] and phase == "added"
            done["services"] = concerned(after, _catalogue.load(check=False).services, certificates=successors)
        return done

    def _fence(
        self, owner: str, held: Mapping[str, Secret], take_over: bool, task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Let the host know which run is at work, and refuse the others."""
        me = _controller.name()
        owned = [secret for path, secret in held.items() if split_path(path)[0] == owner]
        journals = [secret.journal for secret in owned if secret.journal]
        tokens = [journal.token for journal in journals if journal.controller == me]
        module = {"state": "fenced", "owner": owner, "controller": me, "token": max(tokens, default=0)}
        last = all(secret.journal is None or _rotation.remaining(secret) in ((), ("retired",)) for secret in owned)
        lease = _LAST if last else _rotation.LEASE
        module |= {"lease": int(lease.total_seconds()), "take_over": take_over}
        done = self._ask(module, task_vars)
        # The host can't know that the run which it last heard of has died here.
        if "holder" in done and _controller.gone(done["holder"]):
            done = self._ask(module | {"gone": [done["holder"]]}, task_vars)
        return done

    def _ask(self, module: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(
            "holdfast.platform.rotation", module_args=module, task_vars=task_vars
        )
        return done


def _served() -> frozenset[str]:
    """The secrets that a service of the house puts in force in its verb `rotate`."""
    services = _catalogue.load(check=False).services.values()
    return frozenset(f"{s.name}/{secret.name}" for s in services if "rotate" in s.verbs for secret in s.secrets)


def _changed(store: Store, chosen: Mapping[str, Secret], change: Change, *, check: bool) -> dict[str, Secret]:
    """Change the secrets, those of an owner in one transaction; in check mode find out whether they could be."""
    owners: dict[str, list[str]] = {}
    for path in chosen:
        owners.setdefault(split_path(path)[0], []).append(path)
    after: dict[str, Secret] = {}
    for path, secret in chosen.items():  # all of them can be, before the first one is
        after[path] = change(path, secret)
    if check:
        return after

    def changed(held: MutableMapping[str, Secret], paths: Iterable[str]) -> None:
        for path in paths:
            name = split_path(path)[1]
            held[name] = after[path] = change(path, held[name])

    for owner, paths in owners.items():
        update(store, owner, partial(changed, paths=paths))
    return after


def _authority(
    chosen: Mapping[str, Secret], held: Mapping[str, Secret], names: Sequence[str], site: str, now: datetime
) -> dict[str, str]:
    """New values of the CA's parts, when its rotation begins: they fit together, so they are made together."""
    ca = [path for path, secret in chosen.items() if split_path(path)[0] == _site_ca.OWNER and secret.journal is None]
    if not ca:
        return {}
    if not any(ca == _site_ca.parts(held, name) for name in names if name in _site_ca.ROTATIONS):
        raise SecretsError(f"{ca[0]}: is a part of the CA; name {' or '.join(_site_ca.ROTATIONS)} to rotate it")
    return _site_ca.renewed(held, ca, site, now)


def _report(secrets: Mapping[str, Secret]) -> list[dict[str, Any]]:
    return [_line(path, secret) for path, secret in sorted(secrets.items())]


def _line(path: str, secret: Secret) -> dict[str, Any]:
    """What may be known of a secret: never a value."""
    at = _rotation.next_rotation(secret)
    line: dict[str, Any] = {
        "secret": path,
        "created": secret.created,
        "kind": secret.policy.rotation if secret.policy else "none",
        "due": stamp(at) if at else "",
    }
    if secret.journal:
        journal = secret.journal
        line |= {"id": journal.id, "phase": journal.phase, "began": journal.began, "controller": journal.controller}
        line |= {"back": journal.back, "next_phase": next(iter(_rotation.remaining(secret)), "closed")}
    return line


def _table(report: list[dict[str, Any]], now: datetime) -> list[str]:
    """The report as lines for people, one for each secret."""
    rows = [("secret", "kind", "age", "next rotation", "under way")]
    for line in report:
        age = (now - datetime.fromisoformat(line["created"])).days if line["created"] else None
        back = "going back, " if line.get("back") else ""
        way = (
            f"{back}'{line['phase']}' done, '{line['next_phase']}' next ({line['controller']})"
            if "phase" in line
            else ""
        )
        due = line["due"][:10] + (" (due)" if line["due"] and line["due"] <= stamp(now) else "")
        rows.append((line["secret"], line["kind"], "?" if age is None else f"{age} d", due or "-", way))
    return aligned(rows)
