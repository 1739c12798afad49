# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL of a running lab as tests see it: a client on the application host, and what Patroni says. Fixtures."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.integration.conftest import RunningLab

CLIENT_HOST = "app-c1"
NAME = "postgresql.lab.internal"

Secret = Callable[[str], str]
Psql = Callable[..., subprocess.CompletedProcess[str]]
Cluster = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def secret(lab: RunningLab) -> Secret:
    """Reads a secret of the lab's site, as its owner would."""

    return cache(lab.secret)


@pytest.fixture(scope="session")
def psql(lab: RunningLab) -> Psql:
    """Runs a statement as an application would: from the application host, over verified TLS, with a password.

    `user` is the role; who logs in is the one of its users whose turn it is.
    """
    credential = cache(lab.credential)
    lab.ssh(CLIENT_HOST, "command -v psql || sudo apt-get -qy install postgresql-client python3-psycopg2 >/dev/null")

    def run(
        sql: str, *, user: str = "app_rw", port: int = 5000, host: str = NAME, options: str = "sslmode=verify-full"
    ) -> Any:
        name, password = credential(f"postgresql/{user}")
        target = f"host={host} port={port} dbname=app user={name} connect_timeout=5 {options}"
        target += " sslrootcert=/etc/holdfast/ca.crt"
        command = f"PGPASSWORD=$(cat) psql -XAtq -v ON_ERROR_STOP=1 {shlex.quote(target)} -c {shlex.quote(sql)}"
        argv = [*lab.lab.ssh_command(lab.address(CLIENT_HOST)), command]
        return subprocess.run(argv, input=password, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture
def cluster(lab: RunningLab) -> Cluster:
    """Patroni's view of the members by name, asked of whichever member answers."""

    def read() -> dict[str, dict[str, Any]]:
        for host in ("data-a1", "data-b1", "data-c1"):
            answer = lab.ssh(host, "sudo patronictl -c /etc/patroni/config.yml list -f json", check=False)
            if answer.returncode == 0:
                return {member["Member"]: member for member in json.loads(answer.stdout)}
        raise AssertionError("no member answers")

    return read
