# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site play as a job of ansible-runner: no terminal, own artifacts, an event stream, and true exit codes.

The job is the script of docs/operations/ci.md, word for word.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import ROOT, RunningLab

SITE = "playbooks/site.yml"


@dataclass(frozen=True)
class Job:
    """What is left of a job: exit code, statistics, log and events."""

    rc: int
    stats: dict[str, Any]
    log: str
    events: list[dict[str, Any]]

    def hosts(self, kind: str) -> set[str]:
        """Hosts with at least one event of a kind."""
        return {event["event_data"]["host"] for event in self.events if event["event"] == kind}


class Jobs:
    """Runs the documented script against the lab, each time into a directory of its own."""

    def __init__(self, lab: RunningLab, directory: Path) -> None:
        page = (ROOT / "docs/operations/ci.md").read_text(encoding="utf-8")
        self._script = directory / "job.py"
        self._script.write_text(page.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
        self._lab, self._directory, self._number = lab, directory, 0

    def run(self, playbook: str, *options: str, inventory: Path | None = None) -> Job:
        self._number += 1
        out = self._directory / str(self._number)
        done = subprocess.run(
            [sys.executable, self._script, playbook, str(inventory or self._lab.inventory), str(out), *options],
            cwd=ROOT,
            env=self._lab.environment(TERM="dumb"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # no controlling terminal either
            timeout=1800,
        )
        artifacts = out / "artifacts" / "job"
        assert artifacts.is_dir(), done.stdout + done.stderr
        events = [json.loads(path.read_text(encoding="utf-8")) for path in (artifacts / "job_events").glob("*.json")]
        return Job(
            done.returncode,
            json.loads((out / "stats.json").read_text(encoding="utf-8")),
            (artifacts / "stdout").read_text(encoding="utf-8"),
            sorted(events, key=lambda event: int(event["counter"])),
        )


@pytest.fixture(scope="module")
def jobs(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """Jobs against a lab whose site stands."""
    jobs = Jobs(lab, tmp_path_factory.mktemp("jobs"))
    first = jobs.run(SITE)
    assert first.rc == 0, first.log[-4000:]
    return jobs


@pytest.fixture
def stopped(lab: RunningLab) -> Iterator[str]:
    """A host without power."""
    host = "app-c1"
    lab.stop(host)
    yield host
    lab.start(host)


def test_success(jobs: Jobs, lab: RunningLab) -> None:
    job = jobs.run(SITE)
    assert (job.rc, job.stats["status"], job.stats["rc"]) == (0, "successful", 0), job.log
    assert set(job.stats["ok"]) == set(lab.containers)
    assert not any(job.stats[key] for key in ("changed", "failures", "dark")), job.log
    assert job.events[-1]["event"] == "playbook_on_stats"
    assert job.hosts("runner_on_ok") == set(lab.containers)
    assert "round trips" in job.log
    assert "\033[" not in job.log.replace("\033[0m", "")


def test_a_failing_host(jobs: Jobs, lab: RunningLab, tmp_path: Path) -> None:
    # A wrong variable of one host, in an inventory beside the site's own.
    overlay = {"all": {"hosts": {"data-b1": {"etcd_heartbeat_interval": "often"}}}}
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "1-lab").symlink_to(lab.inventory)
    (inventory / "group_vars").symlink_to(lab.inventory / "group_vars")
    (inventory / "2-wrong.yml").write_text(f"---\n{yaml.safe_dump(overlay)}", encoding="utf-8")
    job = jobs.run(SITE, "--tags", "etcd", inventory=inventory)
    assert (job.rc, job.stats["status"]) == (2, "failed"), job.log
    assert set(job.stats["failures"]) == {"data-b1"}
    assert not job.stats["dark"]
    assert not job.stats["changed"]
    assert job.hosts("runner_on_failed") == {"data-b1"}
    assert "etcd_heartbeat_interval" in job.log
    assert "FAILED data-b1" in job.log


def test_an_unreachable_host(jobs: Jobs, lab: RunningLab, stopped: str) -> None:
    job = jobs.run(SITE, "--tags", "base")
    assert (job.rc, job.stats["status"]) == (4, "failed"), job.log
    assert set(job.stats["dark"]) == {stopped}
    assert not job.stats["failures"]
    assert job.hosts("runner_on_unreachable") == {stopped}
    assert set(lab.containers) - {stopped} <= job.hosts("runner_on_ok")
    assert f"UNREACHABLE {stopped}" in job.log
