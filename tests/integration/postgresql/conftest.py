# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away Patroni cluster of three on one host of the lab, and ways to reconcile and to look at it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROOT, RunningLab

HOST = os.environ.get("HOLDFAST_HOST") or "app-c1"
HERE = Path(__file__).parent
HOME = "/var/lib/holdfast-test-postgresql"
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


@dataclass(frozen=True)
class Cluster:
    """The cluster under test. Its members are m1, m2, m3 at 127.0.0.1, .2, .3."""

    lab: RunningLab

    def shell(self, command: str, *, check: bool = True) -> str:
        """Run a command as root on the host; return what it printed."""
        done = self.lab.ssh(HOST, f"sudo sh -c {shlex.quote(command)}", check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def script(self, arguments: str) -> str:
        return self.shell(f"sh {HOME}.sh {arguments}")

    def reconcile(self, *options: str, fails: bool = False, **variables: Any) -> dict[str, Any]:
        """Run reconcile.yml; return the module's result."""
        extra = {"test_host": HOST, **{f"test_{name}": value for name, value in variables.items()}}
        done = self.start(*options, extra=extra)
        output, errors = done.communicate(timeout=120)
        return self.result(done.returncode, output, errors, fails=fails)

    def start(self, *options: str, extra: dict[str, Any]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PLAYBOOK, "-i", self.lab.inventory, HERE / "reconcile.yml", "-e", json.dumps(extra), *options],
            cwd=ROOT,
            env=self.lab.environment(ANSIBLE_STDOUT_CALLBACK="ansible.posix.json"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def result(status: int, output: str, errors: str, *, fails: bool = False) -> dict[str, Any]:
        assert (status != 0) == fails, output + errors
        tasks = json.loads(output[output.index("{") :])["plays"][0]["tasks"]
        results = [task["hosts"][HOST] for task in tasks if not task["hosts"][HOST].get("skipped")]
        assert len(results) == 1
        return dict(results[0])

    def unchanged(self, **variables: Any) -> None:
        """Assert that neither a run nor check mode finds anything to do."""
        assert not self.reconcile(**variables)["changed"]
        assert not self.reconcile("--check", **variables)["changed"]

    def sql(
        self,
        statement: str,
        database: str = "postgres",
        user: str = "postgres",
        password: str = "super-secret",  # noqa: S107
    ) -> str:
        """Run SQL on the leader; return the rows, or what the server says against it."""
        where = (
            f"host=127.0.0.1,127.0.0.2,127.0.0.3 port=15432 dbname={database} user={user} sslmode=verify-full "
            f"sslrootcert={HOME}/tls/ca.crt target_session_attrs=read-write"
        )
        password = shlex.quote(password)
        return self.shell(
            f"PGPASSWORD={password} psql -XAtq {shlex.quote(where)} -c {shlex.quote(statement)} 2>&1 || true"
        )

    def request(self, path: str, address: str = "127.0.0.1") -> Any:
        text = (
            "import json, ssl, urllib.request as u; "
            f"c = ssl.create_default_context(cafile='{HOME}/tls/ca.crt'); "
            f"print(u.urlopen('https://{address}:18008{path}', context=c).read().decode())"
        )
        return json.loads(self.shell(f"python3 -c {shlex.quote(text)}"))

    def leader(self) -> str:
        """Wait until one member leads and two stream; return the leader's name."""
        deadline = time.monotonic() + 90
        while True:
            try:
                members = self.request("/cluster")["members"]
            except (AssertionError, ValueError):
                members = []
            leaders = [member["name"] for member in members if member["role"] == "leader"]
            ready = [member for member in members if member["state"] in ("running", "streaming")]
            if leaders and len(ready) == 3 and any(member["role"] == "sync_standby" for member in members):
                return str(leaders[0])
            assert time.monotonic() < deadline, f"the cluster is not ready: {members}"
            time.sleep(1)

    def log(self) -> str:
        """Everything that the servers have logged; statements too, since log_statement is `all`."""
        return self.shell(f"cat {HOME}/m?.log")


@pytest.fixture(scope="session")
def cluster(lab: RunningLab) -> Iterator[Cluster]:
    cluster = Cluster(lab)
    script = (HERE / "cluster.sh").read_text(encoding="utf-8")
    cluster.shell(f"cat >{HOME}.sh <<'HOLDFAST'\n{script}\nHOLDFAST")
    cluster.script("up")
    cluster.leader()
    yield cluster
    cluster.script("down")
    cluster.shell(f"rm {HOME}.sh")
