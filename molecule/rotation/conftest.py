# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that write while credentials rotate, and a look at the credentials from outside of Holdfast's own code."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from tests.chaos.ledger import Entry
from tests.chaos.services.postgresql import PostgreSQL
from tests.chaos.unharmed import unharmed
from tests.integration.conftest import RunningLab
from tests.rotations import WRITERS, Rotations

MEMBERS = ("data-a1", "data-b1", "data-c1")
FILE = "/etc/app/database.json"
RATE = 50.0  # of each, in operations a second
APP = "postgresql/app_rw"
#: What services use among themselves: the user of each secret, and whether it has two in turn.
OWN = {
    "postgresql/superuser": ("postgres", False),
    "postgresql/replication": ("replicator", True),
    "postgresql/rewind": ("rewind", False),
    "postgresql/pgbouncer": ("pgbouncer", True),
    "postgresql/patroni": ("patroni", False),
    "postgresql/etcd": ("postgresql", True),
    "etcd/root": ("root", True),
}
#: What a client of this test takes from a file, and what it does without: it waits for a machine that is busy.
HASTY = ("user", "password", "connect_timeout", "tcp_user_timeout")
PKI = "/etc/holdfast/pki/postgresql/postgresql"
TLS = f"-CAfile /etc/holdfast/ca.crt -cert {PKI}.crt -cert_chain {PKI}.crt -key {PKI}.key"

Known = dict[str, tuple[str, str]]


@dataclass
class Rotation(Rotations):
    """Rotations while clients of PostgreSQL write."""

    @cached_property
    def service(self) -> PostgreSQL:
        return PostgreSQL(self.lab)

    def known(self, *secrets: str) -> Known:
        """User and password of today."""
        given = [
            {"secret": path, "user": OWN[path][0], "own": True, "login": {}} if path in OWN else {"secret": path}
            for path in secrets
        ]
        found = self.lab.evaluated(f"lookup('holdfast.platform.credentials', {given})")
        return {path: (str(one["user"]), str(one["password"])) for path, one in zip(secrets, found, strict=True)}

    def gets_in(self, host: str, secret: str, user: str, password: str) -> bool:
        """Whether a service takes the credential from a host: asked with the service's own client."""
        if secret.endswith("/etcd") or secret.startswith("etcd/"):
            files = "--cacert={0}/ca.crt --cert={0}/etcd.crt --key={0}/etcd.key".format("/etc/holdfast/pki/etcd")
            command = f"ETCDCTL_USER=$(cat) etcdctl {files} --endpoints=https://{host}:2379 get /holdfast/postgresql/x"
            said = self.lab.run(host, f"{command} 2>&1; echo status $?", f"{user}:{password}")
            return self._judged(said, "status 0", "authentication failed")
        if secret == "postgresql/patroni":
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            request = f"PATCH /config HTTP/1.0\r\nAuthorization: Basic {login}\r\nContent-Length: 2\r\n\r\n{{}}"
            command = f"(cat; sleep 1) | openssl s_client -quiet {TLS} -connect {host}:8008 2>/dev/null"
            return self._judged(self.lab.run(host, command, request, check=False), " 400 ", " 401 ")
        # The leader by its pool, where what members have among themselves is not let in; else the member itself.
        port, database = ("5000", "app") if secret == APP else ("5432", "postgres")
        where = f"host=postgresql.lab.internal hostaddr={self.lab.address(host)}"
        target = f"{where} port={port} dbname={database} user={user} sslmode=require connect_timeout=10"
        command = f"PGPASSWORD=$(cat) psql -XAtq '{target}' -c 'SELECT 1' 2>&1"
        refusals = ("authentication failed", "not permitted to log in", "no such user")
        return self._judged(self.lab.run(host, command, password, check=False), "1\n", *refusals)

    @staticmethod
    def _judged(said: str, yes: str, *no: str) -> bool:
        if yes in said:
            return True
        assert any(word in said for word in no), said
        return False

    def judge(self, before: Known, after: Known) -> None:
        """What was is refused, and what is gets in, from every member."""
        for secret, old in before.items():
            assert old[1] != after[secret][1], f"{secret} has its old value"
            alternates = secret == APP or OWN[secret][1]
            assert (old[0] != after[secret][0]) is alternates, f"{secret}: {after[secret][0]}"
            for host in MEMBERS:
                assert self.gets_in(host, secret, *after[secret]), f"{secret} on {host}"
                assert not self.gets_in(host, secret, *old), f"the old value of {secret} gets in on {host}"

    def state(self) -> dict[str, Any]:
        """All that a rotation could leave behind, but for values."""
        roles = "SELECT rolname, rolcanlogin, rolreplication, rolsuper FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
        etcd = "set -a; . /etc/holdfast/etcd/etcdctl.env; etcdctl user list; etcdctl role list"
        files = "stat -c '%n %a %U %G' /etc/patroni/config.yml /etc/pgbouncer/* /etc/holdfast/etcd/* | sort"
        assert not self.under_way()
        return {
            "roles": self.service.sql(self.service.leader(), roles),
            "etcd": self.lab.run(MEMBERS[0], etcd),
            "files": [self.lab.run(host, files) for host in MEMBERS],
            "now": {path: user for path, (user, _) in self.known(*OWN, APP).items()},
        }

    def clients(self, name: str) -> AbstractContextManager[list[Entry]]:
        """Two hosts write all the while, with what their files say; afterwards not one operation has failed."""
        clients = {}
        for host, lifetime in WRITERS.items():
            given = self.service.prepare(host, name)["connection"]
            connection = {key: value for key, value in given.items() if key not in HASTY}
            clients[host] = {"connection": connection, "credentials": FILE, "lifetime": lifetime}
        return unharmed(self.service, clients, name, RATE)


@pytest.fixture(scope="session")
def rotation(lab: RunningLab) -> Rotation:
    """Rotations, with both hosts that write ready for it."""
    rotation = Rotation(lab, {"secret": APP, "database": "app", "path": FILE})
    rotation.prepare()
    return rotation
