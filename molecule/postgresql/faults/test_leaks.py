# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of secrets are nowhere but where they belong, after runs that show as much as they can."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests import leaks
from tests.integration.conftest import ROOT, RunningLab

SECRET = "postgresql/app_rw"
ROTATE = ("rotate", "-e", f"rotate_secret={SECRET}")
LOUD = ("-vvv", "--diff")


def searched(lab: RunningLab, runs: Iterable[tuple[str, ...]], *, everything: bool) -> list[str]:
    """What the runs leave of values in processes, output, logs and files: of every version, from before and after."""
    secrets = leaks.values(lab)
    with leaks.private() as directory:
        settings = {
            "ANSIBLE_LOG_PATH": str(directory / "controller.log"),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / "facts"),
        }
        outputs = []
        with leaks.Watch(lab, directory / "samples") as watch:
            for playbook, *options in runs:
                done = lab.play(ROOT / f"playbooks/{playbook}.yml", *options, **settings)
                outputs.append((f"output of {playbook} {' '.join(options)}", done.stdout + done.stderr))
                assert done.returncode == 0, outputs[-1]
        for path, versions in leaks.values(lab).items():
            secrets.setdefault(path, set()).update(versions)
        assert len(secrets[SECRET]) > 1, "nothing was rotated"
        needles = leaks.needles(secrets)
        found = [f"{what}: {path}" for what, text in outputs for path in sorted(leaks.within(text, needles))]
        assert (directory / "controller.log").stat().st_size > 0
        found += leaks.in_processes(watch, needles)
        found += leaks.on_hosts(lab, needles, everything=everything)
        kept = [path for path in lab.lab.home.iterdir() if path.name != "secrets"]
        found += leaks.in_files([directory, *kept, ROOT / ".ansible", Path("~/.ansible").expanduser()], needles)
    return found


def test_nothing_leaks_while_a_password_is_replaced(lab: RunningLab) -> None:
    assert searched(lab, [(*ROTATE, *LOUD)], everything=False) == []


@pytest.mark.full
def test_nothing_leaks_in_whole_runs(lab: RunningLab) -> None:
    runs = [(name, *how) for name in ("site", "verify", "backup") for how in ((), LOUD)]
    runs += [ROTATE, (*ROTATE, *LOUD)]
    assert searched(lab, runs, everything=True) == []


def test_the_search_finds_what_is_there(lab: RunningLab, tmp_path: Path) -> None:
    """A value on a command line, in an environment, a journal, a log, a readable file; plain, and as base64 of more."""
    value = "Planted0ValueOfNoSecret0123456789"
    needles = leaks.needles({"planted/value": [value]})
    inside = base64.b64encode(f"user:{value}".encode()).decode()
    host = "app-c1"
    plant: Callable[[str], str] = lambda script: lab.run(host, f"value=$(cat); {script}", stdin=value)  # noqa: E731
    try:
        with leaks.Watch(lab, tmp_path / "samples") as watch:
            plant('sh -c "sleep 0.5; : $value"; HIDDEN=$value sleep 0.5')
            subprocess.run(["sleep", "0.5"], env={"HERE": value, "PATH": "/usr/bin:/bin"}, check=True)
        plant('logger "$value"; echo "$value" > /var/log/planted.log; chmod 600 /var/log/planted.log')
        plant(f"echo {inside} > /etc/planted; chmod 644 /etc/planted; echo $value > /etc/hidden; chmod 600 /etc/hidden")
        (tmp_path / "evidence").write_text(f"{{{inside}}}")
        seen = "\n".join(leaks.in_processes(watch, needles))
        assert f"{host}: cmdline of process" in seen
        assert f"{host}: environ of process" in seen
        assert "controller: environ of process" in seen
        deadline = time.monotonic() + 30
        while True:  # the journal has it a moment later
            found = leaks.on_hosts(lab, needles, everything=False)
            if f"{host}: journal: planted/value" in found or time.monotonic() > deadline:
                break
        places = ("journal", "/var/log/planted.log", "/etc/planted")
        assert {f"{host}: {place}: planted/value" for place in places} <= set(found)
        assert not [line for line in found if "/etc/hidden" in line]
        assert leaks.in_files([tmp_path], needles) == [f"controller: {tmp_path}/evidence: planted/value"]
    finally:
        lab.run(host, "rm -f /var/log/planted.log /etc/planted /etc/hidden; journalctl --rotate --vacuum-time=1s")
