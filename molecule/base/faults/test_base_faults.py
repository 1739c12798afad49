# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens when somebody gets the foundation wrong: nothing, and they are told why."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, RunningLab

CONVERGE = ROOT / "molecule/base/converge.yml"
HOST = "app-c1"
OWNED = (
    "/etc/ssh/sshd_config.d /etc/nftables.conf /etc/nftables.d /etc/sudoers.d /etc/chrony /etc/systemd/journald.conf.d"
)


def fingerprint(lab: RunningLab) -> str:
    """Names, modes and contents of what base owns on a host."""
    command = f"sudo find {OWNED} -type f -exec stat -c '%n %a %U' {{}} + -exec sha256sum {{}} + | sort"
    return lab.ssh(HOST, command).stdout


def run(lab: RunningLab, variables: dict[str, object], *options: str) -> subprocess.CompletedProcess[str]:
    return lab.play(CONVERGE, "--limit", HOST, "--extra-vars", json.dumps(variables), *options)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"base_ssh_root": "maybe"}, "base_ssh_root"),
        ({"base_firewall_flows": [{"port": "https?", "protocol": "tcp", "sources": ["10.0.0.0/8"]}]}, "nft"),
        ({"base_firewall_flows": [{"port": 80, "protocol": "tcp", "sources": ["10.0.0/8/8"]}]}, "10.0.0/8/8"),
        ({"base_users": {"ada": {"keys": ["not a key"]}}}, "ada.keys[0]"),
        ({"base_journal_size": "{{ no_such_variable }}"}, "no_such_variable"),
    ],
    ids=["a value that is not allowed", "what nft refuses", "no network", "no key", "an undefined variable"],
)
def test_a_mistake_changes_nothing_and_is_named(lab: RunningLab, variables: dict[str, object], reason: str) -> None:
    before = fingerprint(lab)
    result = run(lab, variables)
    assert result.returncode != 0
    assert reason in result.stdout + result.stderr
    assert fingerprint(lab) == before


def test_whoever_locks_the_controller_out_is_rolled_back(lab: RunningLab) -> None:
    before = fingerprint(lab)
    begin = time.monotonic()
    result = run(lab, {"site_admin": ["192.0.2.1"], "base_confirm_within": 15})
    assert result.returncode != 0, result.stdout
    while lab.ssh(HOST, "true", check=False).returncode:
        assert time.monotonic() - begin < 90, "still locked out"
        time.sleep(1)
    assert fingerprint(lab) == before
    assert run(lab, {}).returncode == 0


def test_a_change_by_hand_is_undone(lab: RunningLab) -> None:
    before = fingerprint(lab)
    lab.ssh(HOST, "echo '# by hand' | sudo tee -a /etc/chrony/chrony.conf; sudo chmod 644 /etc/sudoers.d/10-holdfast")
    assert run(lab, {}).returncode == 0
    assert fingerprint(lab) == before


def test_an_administrator_comes_and_goes(lab: RunningLab, tmp_path: Path) -> None:
    key = tmp_path / "ada"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    login = ["ssh", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ControlPath=none"]
    login += ["-o", f"UserKnownHostsFile={lab.lab.home}/known_hosts", f"ada@{lab.address(HOST)}", "sudo id -u"]
    assert run(lab, {"base_users": {"ada": {"keys": [public]}}}).returncode == 0
    assert subprocess.run(login, capture_output=True, text=True, check=False).stdout.strip() == "0"
    assert run(lab, {}).returncode == 0
    assert subprocess.run(login, capture_output=True, text=True, check=False).returncode == 255


def test_a_repository_comes_and_goes(lab: RunningLab) -> None:
    uri = lab.ssh(HOST, "grep -rhoE 'https?://[^ ]+' /etc/apt/sources.list*").stdout.split()[0]
    key = lab.ssh(HOST, "ls /usr/share/keyrings/debian-archive-keyring.*").stdout.split()[0]
    declared = {"mirror": {"uris": uri, "suites": "trixie", "components": ["main", "contrib"], "key": key}}
    assert run(lab, {"base_repositories": declared}).returncode == 0
    assert "trixie/contrib" in lab.ssh(HOST, "sudo apt-get update 2>&1 && apt-cache policy").stdout
    assert run(lab, {}).returncode == 0
    assert lab.ssh(HOST, "test -e /etc/apt/sources.list.d/holdfast.sources", check=False).returncode == 1
