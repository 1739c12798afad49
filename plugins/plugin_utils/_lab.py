# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lab is meant, where its state is, and what a run must know to reach its hosts.

A lab's state is the directory `<checkout>/.lab/<name>/`, which the lab tool fills: `lab.json` with the lab's
name, site, network and packages_proxy, the SSH key `id_ed25519`, `known_hosts`, `vault-password`, `secrets/`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError, Problem

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Lab:
    """A lab: its name, its directory, and what lab.json says ({} while it does not run)."""

    name: str
    directory: Path
    state: Mapping[str, Any] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """Return the variables of every host of the lab."""
        known_hosts = shlex.quote(str(self.directory / "known_hosts"))
        options = [
            "-o",
            f"UserKnownHostsFile={known_hosts}",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]
        proxy = self.state.get("packages_proxy")
        return {
            "lab_name": self.name,
            "ansible_user": "deploy",
            "ansible_ssh_private_key_file": str(self.directory / "id_ed25519"),
            "ansible_ssh_extra_args": " ".join(options),
            "secrets_dir": str(self.directory / "secrets"),
            "secrets_vault_password_file": str(self.directory / "vault-password"),
        } | ({"lab_packages_proxy": proxy} if proxy else {})


def find(environment: Mapping[str, str]) -> Lab:
    """Return the lab that the environment means: HOLDFAST_LAB (default holdfast) in HOLDFAST_LAB_HOME (default .lab).

    :raises InvalidError: the name can't be a lab's, or lab.json can't be read.
    """
    name = environment.get("HOLDFAST_LAB") or "holdfast"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise InvalidError(
            [Problem("environment", "HOLDFAST_LAB", name, "not a lab's name", "use lower-case letters, digits and -")]
        )
    directory = Path(environment.get("HOLDFAST_LAB_HOME") or CHECKOUT / ".lab") / name
    file = directory / "lab.json"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        state = {}
    except (OSError, ValueError) as error:
        raise InvalidError([Problem(str(file), "", None, f"can't be read: {error}", "start the lab again")]) from error
    if not isinstance(state, dict):
        raise InvalidError([Problem(str(file), "", state, "must be a mapping", "start the lab again")])
    return Lab(name, directory, state)
