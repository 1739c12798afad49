# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab that is up, as tests use it: its hosts, ways to reach them, runs of Ansible against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from . import engine
from .cli import DEFAULT
from .lab import Lab
from .machine import CHECKOUT, LabError

ROOT = CHECKOUT
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class RunningLab:
    """A lab that is up: its hosts' containers by name, and ways to reach them."""

    lab: Lab
    site: str
    containers: Mapping[str, Container] = field(repr=False)

    @property
    def name(self) -> str:
        return self.lab.name

    @property
    def home(self) -> Path:
        """The directory of all labs; HOLDFAST_LAB_HOME."""
        return self.lab.home.parent

    @property
    def inventory(self) -> Path:
        return ROOT / "inventories" / self.site

    def address(self, host: str) -> str:
        return str(self.containers[host].labels["holdfast.address"])

    def ssh(self, host: str, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host as the user of the lab, who may use sudo."""
        argv = [*self.lab.ssh_command(self.address(host)), command]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check, timeout=120)

    def run(self, host: str, command: str, stdin: str = "", *, check: bool = True, timeout: float = 60) -> str:
        """What a shell command prints on a host as root, by way of the engine: a twentieth of what SSH costs, and no
        cut reaches it. Raises LabError with what it complained of; without check, a failure prints what it printed."""
        argv = ["docker", "exec", "-i", str(self.containers[host].name), "bash", "-c", command]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)
        if done.returncode and check:
            raise LabError(
                f"{host}: {command[:200]}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def secret(self, path: str) -> str:
        """A secret of the lab's site, as its owner would read it."""
        return str(self.evaluated(f"lookup('holdfast.platform.secret', '{path}')"))

    def credential(self, path: str) -> tuple[str, str]:
        """User and password of today, as a program would find them in its file."""
        found = self.evaluated(f"lookup('holdfast.platform.credentials', [{{'secret': '{path}'}}]) | first")
        return str(found["user"]), str(found["password"])

    def evaluated(self, expression: str) -> Any:
        """What an expression of the lab's site comes to."""
        argv = [
            "ansible",
            "-i",
            str(self.inventory),
            "all[0]",
            "-m",
            "ansible.builtin.debug",
            "-a",
            json.dumps({"msg": f"{{{{ {expression} }}}}"}),
        ]
        environment = self.environment(ANSIBLE_STDOUT_CALLBACK="ansible.builtin.oneline")
        said = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        return json.loads(said.split("=>", 1)[1])["msg"]

    def group(self, name: str) -> list[str]:
        """Hosts of a group of the inventory, sorted."""
        argv = ["ansible", "-i", str(self.inventory), name, "--list-hosts"]
        shown = subprocess.run(
            argv, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=True
        ).stdout
        return sorted(shown.split()[2:])  # after "hosts (3):"

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a run from this checkout; nothing of the caller's own Ansible settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HOLDFAST_"))}
        return kept | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "HOLDFAST_LAB": self.name,
            "HOLDFAST_LAB_HOME": str(self.home),
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            **more,
        }

    def play(self, playbook: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook from the checkout against the lab."""
        return self._command(PROGRAMS / "ansible-playbook", "-i", self.inventory, playbook, *options, **environment)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make in the checkout against the lab, as a person types it."""
        return self._command("make", f"LAB={self.name}", f"SITE={self.site}", *arguments)

    def _command(self, *argv: Path | str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )

    def killed(self, playbook: Path, *options: str, when: str | Callable[[str], bool], after: float = 0) -> str:
        """Run a playbook, and kill the controller with all that it started: `after` seconds after it said something, or
        after something came true of what it had said. Returns that; raises LabError when it ended before."""
        ripe = when if callable(when) else lambda said: when in said
        argv: list[Path | str] = [PROGRAMS / "ansible-playbook", "-i", self.inventory, playbook, *options]
        with tempfile.NamedTemporaryFile("w") as out:
            run = subprocess.Popen(
                argv, cwd=ROOT, env=self.environment(PYTHONUNBUFFERED="1"), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                end = time.monotonic() + 900
                while True:
                    over = run.poll() is not None or time.monotonic() > end
                    said = Path(out.name).read_text(encoding="utf-8", errors="replace")
                    if ripe(said):
                        break
                    if over:
                        raise LabError(f"{playbook.name} could not be killed in time: {said[-3000:]}")
                    time.sleep(0.05)
                time.sleep(after)
            finally:
                for pid in _family(run.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                run.wait()
        return said

    def stop(self, host: str) -> None:
        """Kill a host, as when its power fails."""
        self.containers[host].kill(signal="SIGKILL")

    def start(self, host: str, seconds: float = 60) -> None:
        """Start a host again and wait until one can log in."""
        self.containers[host].start()
        deadline = time.monotonic() + seconds
        while self.ssh(host, "true", check=False).returncode:
            assert time.monotonic() < deadline, f"{host} does not let us log in {seconds:.0f} s after its start"
            time.sleep(0.5)


def _family(pid: int) -> list[int]:
    """A process and all that it started. The workers of Ansible are in sessions of their own, so a group holds no more
    than the first of them, and one that outlives it waits for ever to tell its result."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def running() -> RunningLab:
    """The lab that HOLDFAST_LAB names; raises LabError when it is not up."""
    lab = Lab(os.environ.get("HOLDFAST_LAB") or DEFAULT)
    state = lab.home / "lab.json"
    client = engine.connect()
    if client is None or not state.is_file():
        raise LabError(f"lab '{lab.name}' is not up: `make lab LAB={lab.name}`")
    return RunningLab(lab, json.loads(state.read_text(encoding="utf-8"))["site"], lab.containers(client))
