# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member looks like from outside: who gets in, and what lies where."""

from __future__ import annotations

import pytest

from tests.integration.conftest import RunningLab

MEMBERS = ("data-a1", "data-b1", "data-c1")


@pytest.mark.parametrize("host", MEMBERS)
def test_secrets_are_roots_alone(lab: RunningLab, host: str) -> None:
    found = lab.ssh(host, "sudo stat -c '%a %U %n' /etc/holdfast/backup/etcd/* /etc/holdfast/etcd/etcdctl.env").stdout
    assert len(found.splitlines()) == 6
    token = lab.ssh(host, "sudo stat -c '%a %U %G' /etc/holdfast/etcd/token.key").stdout
    assert token == "600 etcd etcd\n"
    assert all(line.startswith("600 root ") for line in found.splitlines()), found


def test_a_client_without_a_password_reads_nothing(lab: RunningLab) -> None:
    environment = "set -a; . /etc/holdfast/etcd/etcdctl.env; unset ETCDCTL_USER"
    done = lab.ssh("data-a1", f"sudo sh -c '{environment}; etcdctl get --prefix /'", check=False)
    assert done.returncode != 0
    assert "permission denied" in done.stderr  # the name in its certificate is no user


@pytest.mark.parametrize("unit", ["holdfast-backup-etcd.timer", "holdfast-maintain-etcd.timer"])
def test_timers_wait(lab: RunningLab, unit: str) -> None:
    shown = lab.ssh("data-c1", f"systemctl show -p ActiveState,NextElapseUSecRealtime {unit}").stdout
    assert "ActiveState=active" in shown
    assert "NextElapseUSecRealtime=\n" not in shown
