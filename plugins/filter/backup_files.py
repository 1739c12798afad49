# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files with which a service copies itself into its repositories."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_files
short_description: The files with which a service copies itself into its repositories
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Settings and logins of restic, the program that makes a copy, its unit and its timer.
  - For the O(holdfast.platform.bundle#module:files) of the service's bundle.
  - The timer is C(holdfast-backup-<service>.timer).
options:
  _input:
    description:
      - What differs from service to service. V(service), V(title), V(cluster), V(after) (the unit that it copies),
        V(produce) and V(environment) (the service's own program, see C(module_utils/_restic.py)), V(repositories) (as
        P(holdfast.platform.backup_repositories#lookup) gives them), V(passphrase), V(ssh_key), V(calendar) and V(keep).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the names of the files
  ansible.builtin.debug:
    msg: "{{ __kubernetes_backup | holdfast.platform.backup_files | list }}"
"""

RETURN = r"""
_value:
  description: Settings of files by path; none without repositories.
  type: dict
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

PROGRAM = Path(__file__).parents[1] / "module_utils" / "_restic.py"
KEYS = frozenset(
    "service title cluster after produce environment repositories passphrase ssh_key calendar keep".split()  # noqa: SIM905
)

_UNIT = """# Ansible managed
[Unit]
Description=Copy {title} into its repositories
After={after} network-online.target
# A member that just starts, or a store that does, is no reason for an alarm: five times, two minutes apart.
StartLimitIntervalSec=30min
StartLimitBurst=5

[Service]
Type=oneshot
ExecStart={programs}/backup {place}/settings.json
Restart=on-failure
RestartSec=2min
Nice=10
PrivateTmp=true
NoNewPrivileges=true
"""
_TIMER = """# Ansible managed
[Unit]
Description=Copy {title} into its repositories, {calendar}

[Timer]
OnCalendar={calendar}
RandomizedDelaySec=120
Persistent=true

[Install]
WantedBy=timers.target
"""
_HOST = "Host {name}\n  HostName {address}\n  Port {port}\n  User {user}\n"
_ALL = """Host *
  IdentityFile {place}/key
  IdentitiesOnly yes
  UserKnownHostsFile {place}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 10
  ServerAliveInterval 10
"""


def backup_files(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings of files by path. Raises AnsibleFilterError for a key that is missing or unknown."""
    if set(given) != KEYS:
        wrong = ", ".join(sorted(set(given) ^ KEYS))
        raise AnsibleFilterError(f"backup_files: {wrong}: give {', '.join(sorted(KEYS))}, and nothing else")
    repositories = given["repositories"]
    if not repositories:
        return {}
    service = given["service"]
    place, programs = f"/etc/holdfast/backup/{service}", f"/usr/local/lib/holdfast/{service}"
    names = {"place": place, "programs": programs, **given}
    settings = {
        "service": service,
        "cluster": given["cluster"],
        "produce": given["produce"],
        "environment": given["environment"],
        "repositories": {one["name"]: f"sftp:{one['name']}:/data" for one in repositories},
        "password_file": f"{place}/passphrase",
        "ssh_config": f"{place}/ssh_config",
        "every": max(one["every"] for one in repositories),
        "keep": given["keep"],
    }
    hosts = [line for one in repositories for line in one["known_hosts"]]
    logins = "".join(_HOST.format(**one) for one in repositories) + _ALL.format(**names)
    private = {
        "key": given["ssh_key"] + "\n",
        "known_hosts": "\n".join(hosts) + "\n",
        "passphrase": given["passphrase"] + "\n",
        "settings.json": json.dumps(settings, indent=4, sort_keys=True) + "\n",
        "ssh_config": f"# Ansible managed\n{logins}",
    }
    timer = f"holdfast-backup-{service}.timer"
    unit = {"unit": timer, "effect": "restart"}
    return {
        **{f"{place}/{name}": _file(text, mode="0600") for name, text in private.items()},
        f"{programs}/backup": _file(f"#!/usr/bin/python3\n{PROGRAM.read_text(encoding='utf-8')}", mode="0755"),
        f"/etc/systemd/system/holdfast-backup-{service}.service": {"content": _UNIT.format(**names), **unit},
        f"/etc/systemd/system/{timer}": {"content": _TIMER.format(**names), **unit},
    }


def _file(content: str, mode: str) -> dict[str, Any]:
    return {"content": content, "mode": mode, "unit": None, "effect": "none"}


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"backup_files": backup_files}
