# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What base leaves on a host, seen from outside the role."""

from __future__ import annotations

from testinfra.host import Host


def test_names_resolve(host: Host) -> None:
    for name in ("data-a1", "data-b1.lab.internal", "app-c1", "postgresql.lab.internal"):
        assert host.run("getent hosts %s", name).rc == 0, name


def test_sshd_takes_keys_only(host: Host) -> None:
    settings = host.run("sudo sshd -T").stdout.splitlines()
    for line in (
        "passwordauthentication no",
        "permitrootlogin no",
        "kbdinteractiveauthentication no",
        "x11forwarding no",
    ):
        assert line in settings


def test_the_journal_is_kept_and_bounded(host: Host) -> None:
    assert host.file("/var/log/journal").is_directory
    assert "SystemMaxUse=1G" in host.run("systemd-analyze cat-config systemd/journald.conf").stdout


def test_time_is_kept(host: Host) -> None:
    assert host.service("chrony").is_running
    assert host.service("chrony").is_enabled


def test_kernel_settings_are_in_force(host: Host) -> None:
    assert host.sysctl("net.ipv4.tcp_syncookies") == 1
    assert host.sysctl("net.ipv4.conf.all.accept_redirects") == 0


def test_security_updates_leave_clustered_services_alone(host: Host) -> None:
    settings = host.run("apt-config dump Unattended-Upgrade").stdout
    clustered = host.check_output("hostname").startswith("data")
    assert ('Unattended-Upgrade::Package-Blacklist:: "etcd-.*"' in settings) == clustered
    assert 'Unattended-Upgrade::Automatic-Reboot "false"' in settings
    assert host.run("sudo unattended-upgrade --dry-run").rc == 0


def test_nobody_else_can_read_what_sudo_grants(host: Host) -> None:
    assert host.run("sudo stat -c %a /etc/sudoers.d/10-holdfast").stdout.strip() == "440"


def test_the_site_authority_is_there_for_clients(host: Host) -> None:
    assert host.run("openssl x509 -in /etc/holdfast/ca.crt -noout -subject").rc == 0
