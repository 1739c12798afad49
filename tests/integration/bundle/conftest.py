# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real host of the lab, over SSH, and two ways to apply a bundle there: the bare engine, and ansible-playbook."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
LAB = os.environ.get("HOLDFAST_LAB") or "holdfast"
HOST = os.environ.get("HOLDFAST_HOST") or "app-c1"
ENGINE = "/var/lib/holdfast-test"
TREE = "/etc/holdfast-test"


@dataclass(frozen=True)
class Host:
    """A host of the lab."""

    name: str
    ssh: list[str]
    variables: dict[str, Any]

    def run(self, command: str, stdin: bytes | None = None, *, check: bool = True, timeout: int = 120) -> str:
        """A shell command as root; its output. Raises AssertionError when it fails and `check` is set."""
        done = subprocess.run(
            [*self.ssh, "sudo", "sh", "-c", shlex.quote(command)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    def connect(self) -> None:
        subprocess.run(
            [*self.ssh, "-MNf"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=15
        )

    def disconnect(self) -> None:
        subprocess.run([*self.ssh, "-O", "exit"], check=False, capture_output=True)

    def reconnect(self, seconds: float = 90) -> None:
        """Wait until a host that goes down is up again."""
        time.sleep(1)
        self.disconnect()
        give_up = time.monotonic() + seconds
        while True:
            try:
                return self.connect()
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                assert time.monotonic() < give_up, f"{self.name} did not come back"
                time.sleep(1)

    def driver(self, action: str, question: Mapping[str, Any]) -> Any:
        return json.loads(self.run(f"python3 {ENGINE}/driver.py {action}", json.dumps(question).encode()))

    def read(self, path: str) -> str:
        return self.run(f"cat {path}")

    def write(self, path: str, text: str) -> None:
        self.run(f"cat > {path}", text.encode())

    def snapshot(self, tree: str = TREE) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = self.driver("snapshot", {"tree": tree})
        return found


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """One host of the running lab, with the engine and the driver on it. Starts the lab when it is not up."""
    subprocess.run([sys.executable, "-m", "tests.lab", "up"], cwd=CHECKOUT, check=True, capture_output=True)
    listing = subprocess.run(
        [BIN / "ansible-inventory", "-i", "inventories/lab", "--host", HOST],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        env={**os.environ, "HOLDFAST_LAB": LAB},
    )
    variables = json.loads(listing.stdout)
    ssh = ["ssh", "-i", variables["ansible_ssh_private_key_file"], *shlex.split(variables["ansible_ssh_extra_args"])]
    directory = tempfile.mkdtemp()
    ssh += ["-o", f"ControlPath={directory}/s"]
    login = f"{variables['ansible_user']}@{variables['ansible_host']}"
    found = Host(HOST, [*ssh, login], {key: value for key, value in variables.items() if key.startswith("ansible_")})
    found.connect()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(Path(__file__).with_name("driver.py"), "driver.py")
        tar.addfile(tarfile.TarInfo("engine/__init__.py"))
        for module in (CHECKOUT / "plugins" / "module_utils").glob("_bundle*.py"):
            tar.add(module, f"engine/{module.name}")
    found.run(f"rm -rf {ENGINE}; mkdir -p {ENGINE} && tar -C {ENGINE} -x", archive.getvalue())
    yield found
    found.disconnect()
    Path(directory).rmdir()


@pytest.fixture(autouse=True)
def _clean(host: Host) -> Iterator[None]:
    """Every test starts without bundles of tests and without their files."""
    state = "/var/lib/holdfast/bundles/test"
    tidy = (
        f"exec 2>/dev/null; systemctl disable -q --now holdfast-bundle-test.timer; umount {TREE}/* {state};"
        "nft delete table inet holdfast_test;"
        f"rm -rf {TREE} {state}* /var/lib/holdfast/kept /etc/systemd/system/holdfast-bundle-test.*; mkdir {TREE}"
    )
    host.run(tidy)
    yield
    host.run(tidy)


# -- the bare engine ---------------------------------------------------------------------------------------------------
@dataclass
class Bundle:
    """The engine on the host, asked as the action asks it. Every apply is preceded by check mode and compared to it."""

    host: Host
    name: str = "test"
    checked: list[dict[str, Any]] = field(default_factory=list)

    def apply(
        self,
        files: Mapping[str, str | bytes | dict[str, Any]],
        *,
        directories: Mapping[str, dict[str, Any]] | None = None,
        validate: list[list[str]] | None = None,
        check_first: bool = True,
        diff: bool = False,
        keep: int = 5,
        **request: Any,
    ) -> dict[str, Any]:
        contents, wants = {}, {}
        for path, given in files.items():
            settings = dict(given) if isinstance(given, dict) else {"content": given}
            content = settings.pop("content")
            data = content.encode() if isinstance(content, str) else content
            digest = hashlib.sha256(data).hexdigest()
            contents[digest] = base64.b64encode(data).decode()
            wants[path] = {**want(**settings), "sha256": digest, "size": len(data)}
        manifest = {
            "files": wants,
            "directories": {path: want(**{"mode": 0o755, **given}) for path, given in (directories or {}).items()},
            "validate": validate or [],
            "keep": keep,
        }
        return self.ask({"op": "apply", "manifest": manifest, **request}, contents, check_first=check_first, diff=diff)

    def ask(
        self,
        request: dict[str, Any],
        contents: Mapping[str, str] | None = None,
        *,
        check_first: bool = True,
        diff: bool = False,
    ) -> dict[str, Any]:
        question = {"request": {"name": self.name, **request}, "contents": contents or {}, "diff": diff}
        if not check_first:
            return dict(self.host.driver("call", question))
        answer = self.host.driver("ask", {**question, "tree": TREE})
        predicted, real = answer["predicted"], answer["real"]
        assert not answer["check_touched"], "check mode has touched the host"
        for key in ("changed", "paths", "effects", "effect", "drift", "diff", "refused", "validation"):
            assert predicted.get(key) == real.get(key), f"check mode and the run differ in {key}"
        assert answer["run_touched"] == bool(real.get("changed")), "changed is not true"
        return dict(real)

    def roll_back(self, generation: int | None = None) -> dict[str, Any]:
        return self.ask({"op": "roll_back", "generation": generation})


def want(
    mode: int = 0o644, owner: str = "root", group: str = "root", unit: str | None = None, effect: str = "none"
) -> dict[str, Any]:
    return {"owner": owner, "group": group, "mode": mode, "unit": unit, "effect": effect}


@pytest.fixture
def bundle(host: Host) -> Bundle:
    return Bundle(host)


# -- ansible-playbook --------------------------------------------------------------------------------------------------
@dataclass
class Project:
    """A directory with one role, `demo`, and a play that applies its bundle to the host."""

    directory: Path
    host: Host

    def file(self, name: str, data: str | bytes) -> None:
        path = self.directory / "roles" / "demo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    def play(
        self,
        *arguments: str,
        executable: Path = BIN / "ansible-playbook",
        variables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        """Run the play with the options of the bundle's task."""
        task = {"name": "Apply", "holdfast.platform.bundle": {"name": "test", **options}, "register": "result"}
        self.file("tasks/main.yml", yaml.safe_dump([task]))
        play = {"hosts": HOST, "become": True, "gather_facts": False, "roles": ["demo"], "vars": dict(variables or {})}
        (self.directory / "play.yml").write_text(yaml.safe_dump([play]))
        inventory = {"all": {"hosts": {HOST: self.host.variables}}}  # a plain one: any core reads it
        (self.directory / "hosts.yml").write_text(yaml.safe_dump(inventory))
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "HOLDFAST_LAB": LAB,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(self.directory / "roles"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "keep_results",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "KEEP_RESULTS": str(report),
        }
        done = subprocess.run(
            [executable, "-i", self.directory / "hosts.yml", self.directory / "play.yml", *arguments],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        result = json.loads(report.read_text()) if report.exists() else {}
        return Run(done.returncode, done.stdout + done.stderr, result)


@dataclass(frozen=True)
class Run:
    """What a play printed, and the result of its last task."""

    code: int
    output: str
    result: dict[str, Any]


@pytest.fixture
def project(tmp_path: Path, host: Host) -> Project:
    return Project(tmp_path, host)
