# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record operations in the site's evidence, let hosts witness it, and verify it."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.holdfast.platform.plugins.plugin_utils import _evidence, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    declared_policies,
    open_store,
    site_secrets,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError

ARGUMENTS = {
    "state": {"type": "str", "choices": ["recorded", "witnessed", "read", "verified"], "default": "recorded"},
    "operation": {"type": "str"},
    "service": {"type": "str", "default": ""},
    "outcome": {"type": "str", "choices": list(_evidence.OUTCOMES)},
    "id": {"type": "str"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "figures": {"type": "dict", "default": {}},
    "reasons": {"type": "dict", "default": {}},
    "unreachable": {"type": "list", "elements": "str", "default": []},
    "witnessed": {"type": "dict", "default": {}},
    "last": {"type": "int", "default": 20},
}
COLLECTION = Path(__file__).resolve().parents[2]

display = Display()


class ActionModule(ActionBase):
    """Action `holdfast.platform.evidence`."""

    _requires_connection = False  # what works on a host connects by itself

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what `state` says."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, validated = self.validate_argument_spec(
            ARGUMENTS, required_if=[("state", "recorded", ("operation", "outcome"))]
        )
        variables = task_vars or {}
        given = json.loads(json.dumps(validated))  # plain texts and numbers
        try:
            path = self._file(variables)
            if given["state"] == "recorded":
                return result | self._record(path, given, variables)
            if given["state"] == "verified":
                return result | self._verify(path, given)
            lines, _ = _evidence.read(path)
            records = _evidence.readable(lines)
            module: dict[str, Any] = {"state": given["state"]}
            if given["state"] == "witnessed":
                if not records:
                    return result | {"changed": False}  # check mode has begun no chain
                head = records[-1]
                module |= {"chain": _evidence.chain_of(records), "sequence": head["sequence"], "hash": head["hash"]}
            done = self._execute_module("holdfast.platform.evidence", module_args=module, task_vars=task_vars)
        except _evidence.EvidenceError as error:
            raise AnsibleActionFail(f"evidence: {error}") from error
        result.update(done)
        return result

    def _file(self, variables: Mapping[str, Any]) -> Path:
        """The site's evidence."""
        given = self._templar.template(variables.get("evidence_file"))
        if given:
            return Path(str(given)).expanduser()
        secrets = self._templar.template(variables.get("secrets_dir"))
        beside = Path(str(secrets)).expanduser().parent if secrets else variables.get("inventory_dir")
        if not beside:
            raise _evidence.EvidenceError("evidence_file: is not set, and this inventory has no directory; set it")
        return Path(str(beside)) / "evidence.jsonl"

    def _record(self, path: Path, given: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC)
        operation = given["id"] or uuid.uuid4().hex[:12]
        content: dict[str, Any] = {
            "time": now.isoformat(timespec="milliseconds"),
            "id": operation,
            "operation": given["operation"],
            "service": given["service"],
            "outcome": given["outcome"],
            "who": f"{getpass.getuser()}@{socket.gethostname()}",
            "job": _evidence.job(os.environ),
            "commits": _commits(variables.get("inventory_dir")),
            "hosts": sorted(given["hosts"]),
            "figures": {},
            "unreachable": sorted(given["unreachable"]),
            "reason": "",
        }
        if given["reasons"] or given["figures"]:
            secrets = self._secrets(variables)
            reason = _evidence.reason(_evidence.conceal(given["reasons"], secrets))
            # Before anything is cut: a part of a secret would not be recognised.
            figures = _evidence.figures(_evidence.conceal(given["figures"], secrets))
            content |= {"figures": figures, "reason": reason}
        if self._task.check_mode:
            return {"changed": False, "id": operation, "sequence": 0, "file": str(path)}

        def make(records: Sequence[_evidence.Record]) -> _evidence.Record:
            seconds = _evidence.seconds_since(records, operation, now) if given["outcome"] != "started" else None
            full = content | ({} if seconds is None else {"seconds": seconds})
            return {key: value for key, value in full.items() if value not in ("", [], {})}

        record, repaired = _evidence.append(path, make)
        if repaired:
            display.warning(f"{path}: {repaired}")
        # Not a change of the site: what the operation does is, and says so itself.
        return {"changed": False, "id": operation, "sequence": record["sequence"], "file": str(path)}

    def _secrets(self, variables: Mapping[str, Any]) -> list[str]:
        """Every value that must not get into the evidence."""
        try:
            store = open_store(variables, self._templar, self._loader)
            owners = {*declared_policies(variables["groups"], site_secrets(variables, self._templar)), _site_ca.OWNER}
            return [value for owner in owners for entry in store.read(owner).values() for value in entry.versions()]
        except SecretsError as error:
            raise _evidence.EvidenceError(f"can't tell whether a text holds a secret: {error}") from error

    def _verify(self, path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
        lines, rest = _evidence.read(path)
        records = _evidence.readable(lines)
        chain = _evidence.chain_of(records)
        for line in _evidence.table(records, given["last"]) if records else [f"{path}: no operation was recorded yet"]:
            display.display(line)
        faults = _evidence.check(
            lines, {host: chains[chain] for host, chains in given["witnessed"].items() if chain in chains}
        )
        others = sorted({name for chains in given["witnessed"].values() for name in chains} - {chain})
        if others:
            display.warning(
                f"hosts have witnessed other evidence than {path}: chains {', '.join(others)}. Another controller "
                "keeps it, or this file was put aside or removed"
            )
        if rest:
            display.warning(f"{path}: the last line has no end; its writer died. The next record puts it aside")
        if faults:
            raise AnsibleActionFail(f"{path} can't be trusted:\n" + "\n".join(map(str, faults)))
        return {"changed": False, "file": str(path), "records": len(records)}


def _commits(inventory: str | None) -> dict[str, str]:
    """The commits of collection and inventory, where git keeps them; `-dirty` behind one with changes."""
    places = {"collection": COLLECTION} if (COLLECTION / ".git").exists() else {}
    places |= {"inventory": Path(inventory)} if inventory else {}
    commits = {name: _commit(place) for name, place in places.items()}
    return {name: commit for name, commit in commits.items() if commit}


def _commit(directory: Path) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", str(directory), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(  # noqa: S603 - an argv list, no shell
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
