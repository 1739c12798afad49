# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two steps of every role on a real host: packages that start nothing, and members that start, or say why not."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import RunningLab

HOST = "app-c1"
PACKAGE = "redis-server"  # it starts its service when nobody forbids that
UNITS = {
    "steps-good": "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n"
    "[Install]\nWantedBy=multi-user.target\n",
    "steps-bad": "[Service]\nType=notify\nExecStart=/bin/sh -c 'echo no such luck; exit 3'\n",
    "steps-idle": "[Unit]\nConditionPathExists=/no/such/path\n[Service]\nExecStart=/bin/sleep infinity\n",
}


class Step:
    """Runs one task on the host; the result that a person would read at -v, and whether it failed."""

    def __init__(self, lab: RunningLab, directory: Path) -> None:
        self.lab, self.directory = lab, directory

    def __call__(self, module: str, *options: str, **arguments: Any) -> tuple[subprocess.CompletedProcess[str], int]:
        playbook, figures = self.directory / "step.yml", self.directory / "figures.json"
        task = {"name": "Step", f"holdfast.platform.{module}": arguments}
        play = {"name": "step", "hosts": HOST, "gather_facts": False, "become": True, "tasks": [task]}
        playbook.write_text(f"---\n{yaml.safe_dump([play])}", encoding="utf-8")
        environment = self.lab.environment(HOLDFAST_FIGURES=str(figures))
        argv = ["ansible-playbook", "-v", "-i", str(self.lab.inventory), str(playbook), *options]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=300)
        return done, json.loads(figures.read_text(encoding="utf-8"))["services"]["step"]["changed"]


@pytest.fixture
def step(lab: RunningLab, tmp_path: Path) -> Step:
    return Step(lab, tmp_path)


@pytest.fixture
def without_package(lab: RunningLab) -> Iterator[None]:
    purge = f"sudo apt-get -qy purge {PACKAGE} redis-tools && sudo rm -rf /etc/steps.conf"
    lab.ssh(HOST, purge)
    yield
    lab.ssh(HOST, purge)


def test_packages_are_installed_once_and_start_nothing(lab: RunningLab, step: Step, without_package: None) -> None:
    wanted = {"names": [PACKAGE], "before": {"/etc/steps.conf": "read me\n"}}
    checked, changed = step("packages", "--check", **wanted)
    assert (checked.returncode, changed) == (0, 1)
    assert lab.ssh(HOST, f"dpkg -s {PACKAGE} || test -e /etc/steps.conf", check=False).returncode != 0

    done, changed = step("packages", **wanted)
    assert (done.returncode, changed) == (0, 1), done.stdout
    assert lab.ssh(HOST, f"systemctl is-active {PACKAGE}", check=False).stdout.strip() == "inactive"
    assert lab.ssh(HOST, "cat /etc/steps.conf; ls /usr/sbin/policy-rc.d", check=False).stdout == "read me\n"

    lab.ssh(HOST, "sudo rm /etc/steps.conf")
    again, changed = step("packages", **wanted)
    assert (again.returncode, changed) == (0, 0)
    assert lab.ssh(HOST, "test -e /etc/steps.conf", check=False).returncode == 1, "nothing was installed"


def test_a_package_that_is_not_there_is_named(step: Step) -> None:
    done, _ = step("packages", names=["no-such-package-anywhere"])
    assert done.returncode == 2
    assert "no-such-package-anywhere" in done.stdout


@pytest.fixture
def units(lab: RunningLab) -> Iterator[None]:
    """Three units, and a bundle whose state says that one of them has to be restarted."""
    for name, text in UNITS.items():
        lab.ssh(HOST, f"printf %s {shlex.quote(text)} | sudo tee /etc/systemd/system/{name}.service")
    lab.ssh(HOST, "sudo systemctl daemon-reload")
    yield
    for name in UNITS:
        lab.ssh(HOST, f"sudo systemctl disable --now {name}; sudo rm /etc/systemd/system/{name}.service", check=False)
    lab.ssh(
        HOST, "sudo systemctl daemon-reload; sudo systemctl reset-failed; sudo rm -rf /var/lib/holdfast/bundles/steps"
    )


def test_a_member_starts_once_and_reloads_when_asked(lab: RunningLab, step: Step, units: None) -> None:
    wanted: dict[str, Any] = {"service": "steps", "units": ["steps-good.service"]}
    assert step("member", "--check", **wanted)[1] == 1
    assert lab.ssh(HOST, "systemctl is-active steps-good", check=False).stdout.strip() == "inactive"
    assert step("member", **wanted)[1] == 1
    assert lab.ssh(HOST, "systemctl is-active steps-good; systemctl is-enabled steps-good").stdout.split() == [
        "active",
        "enabled",
    ]
    assert step("member", **wanted)[1] == 0
    process = lab.ssh(HOST, "systemctl show -P MainPID steps-good").stdout
    done, changed = step("member", **wanted, effects={"steps-good.service": "reload"})
    assert (changed, "reload steps-good.service" in done.stdout) == (1, True)
    assert lab.ssh(HOST, "systemctl show -P MainPID steps-good").stdout == process
    assert step("member", **wanted, effects={"steps-good.service": "restart"})[1] == 1
    assert lab.ssh(HOST, "systemctl show -P MainPID steps-good").stdout != process


@pytest.mark.parametrize(
    ("unit", "reason"),
    [("steps-bad", "no such luck"), ("steps-idle", "does not run"), ("steps-missing", "does not exist")],
)
def test_a_member_that_does_not_start_says_why(step: Step, units: None, unit: str, reason: str) -> None:
    done, _ = step("member", service="steps", units=[f"{unit}.service"])
    assert done.returncode == 2
    assert reason in done.stdout


def test_an_effect_waits_until_it_was_carried_out(lab: RunningLab, step: Step, units: None) -> None:
    pending = "/var/lib/holdfast/bundles/steps/pending.json"
    noted = json.dumps({"steps-bad.service": "restart"})
    lab.ssh(HOST, f"sudo mkdir -p -m 700 {Path(pending).parent} && echo '{noted}' | sudo tee {pending}")
    wanted = {"service": "steps", "bundles": ["steps"], "effects": {"steps-bad.service": "restart"}}
    assert step("member", **wanted, units=["steps-bad.service"])[0].returncode == 2
    assert json.loads(lab.ssh(HOST, f"sudo cat {pending}").stdout) == json.loads(noted)
    lab.ssh(
        HOST, "sudo sed -i 's/exit 3/systemd-notify --ready; exec sleep 999/' /etc/systemd/system/steps-bad.service"
    )
    done, _ = step("member", **wanted, units=["steps-bad.service"])
    assert done.returncode == 0, done.stdout
    assert "steps-bad" not in lab.ssh(HOST, f"sudo cat {pending} || true", check=False).stdout
