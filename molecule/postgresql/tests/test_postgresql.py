# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What applications get, and what they don't."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from tests.integration.conftest import RunningLab
from tests.integration.postgresql_client import Psql, Secret


@pytest.mark.parametrize(("port", "replica"), [(5000, "f"), (5001, "t")], ids=["leader", "replicas"])
def test_a_port_leads_to_the_member_that_it_promises(psql: Psql, port: int, replica: str) -> None:
    result = psql("SELECT pg_is_in_recovery()", port=port)
    assert (result.stdout.strip(), result.stderr) == (replica, "")


def test_an_application_owns_what_it_makes_through_its_owner_role(psql: Psql) -> None:
    table = "app.made_by_a_test"
    assert psql(f"CREATE TABLE {table} (id int PRIMARY KEY); INSERT INTO {table} VALUES (1)").stderr == ""
    assert (
        psql(f"SELECT tableowner FROM pg_tables WHERE schemaname || '.' || tablename = '{table}'").stdout.strip()
        == "app"
    )
    assert psql(f"SELECT id FROM {table}", user="reporting", port=5000).stdout.strip() == "1"
    assert "permission denied" in psql(f"DELETE FROM {table}", user="reporting").stderr
    assert psql(f"DROP TABLE {table}").returncode == 0


def test_the_server_is_set_up_as_declared(psql: Psql) -> None:
    names = "max_connections shared_buffers log_min_duration_statement password_encryption data_checksums ssl"
    listed = ", ".join(f"'{name}'" for name in names.split())
    sql = f"SELECT name || '=' || current_setting(name) FROM pg_settings WHERE name IN ({listed}) ORDER BY name"
    assert psql(sql).stdout.split() == [
        "data_checksums=on",
        "log_min_duration_statement=1s",
        "max_connections=200",
        "password_encryption=scram-sha-256",
        "shared_buffers=256MB",
        "ssl=on",
    ]


def test_every_password_is_a_scram_verifier(lab: RunningLab) -> None:
    sql = "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'"
    assert lab.ssh("data-a1", f'sudo -u postgres psql -At -c "{sql}"').stdout.strip() == "0"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"options": "sslmode=disable"}, "SSL required"),
        ({"user": "reporting", "options": "sslmode=verify-full password=wrong"}, "authentication failed"),
    ],
    ids=["without TLS", "with a wrong password"],
)
def test_a_client_is_refused(psql: Psql, arguments: dict[str, str], reason: str) -> None:
    result = psql("SELECT 1", **arguments)
    assert result.returncode != 0
    assert reason in result.stderr


def test_the_superuser_does_not_get_in_through_the_pool(psql: Psql, lab: RunningLab) -> None:
    lookup = "SELECT count(*) FROM pgbouncer.lookup('postgres')"
    assert lab.ssh("data-a1", f'sudo -u postgres psql -At -c "{lookup}"').stdout.strip() == "0"


def test_a_server_of_another_name_is_not_trusted(psql: Psql, lab: RunningLab) -> None:
    lab.ssh("app-c1", f"echo '{lab.address('data-a1')} impostor' | sudo tee -a /etc/hosts")
    try:
        assert 'does not match host name "impostor"' in psql("SELECT 1", host="impostor").stderr
    finally:
        lab.ssh("app-c1", "sudo sed -i /impostor/d /etc/hosts")


@pytest.mark.parametrize("owner", ["superuser", "replication", "patroni", "pgbouncer", "etcd"])
def test_no_password_stands_where_others_can_read_it(lab: RunningLab, secret: Secret, owner: str) -> None:
    look = (
        "f=$(mktemp) && cat > $f && "
        "find /etc /home /run /srv /tmp /var -xdev -type f -perm /o+r ! -path $f -exec grep -lF -f $f {} + ; "
        "journalctl -q -o cat | grep -F -f $f; cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -F -f $f; rm $f"
    )
    for host in ("data-a1", "data-b1", "data-c1"):
        argv = [*lab.lab.ssh_command(lab.address(host)), f"sudo sh -c {shlex.quote(look)}"]
        password = secret(f"postgresql/{owner}")
        assert subprocess.run(argv, input=password, capture_output=True, text=True, check=True).stdout == ""
