# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence of real runs: one that succeeds, one that fails, one that is killed; and a file that somebody edited."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import PROGRAMS, ROOT, RunningLab

# The verb `verify` of etcd fails on a host that has none.
PLAY = """---
- name: Record
  hosts: app-c1,backup-a1
  gather_facts: false
  become: true
  tasks:
    - name: Start
      holdfast.platform.evidence:
        operation: sleep
        service: etcd
        outcome: started
        hosts: "{{ ansible_play_hosts_all }}"
      register: started
      run_once: true
    - name: Witness
      holdfast.platform.evidence: {state: witnessed}
    - name: Sleep
      ansible.builtin.command: sleep {{ seconds }}
      changed_when: false
    - name: End
      holdfast.platform.evidence:
        id: "{{ started.id }}"
        operation: sleep
        service: etcd
        outcome: succeeded
        figures:
          asleep: "{{ seconds | int }}"
          secret: "it is {{ lookup('holdfast.platform.secret', 'pki/root_key') }}"
      run_once: true
    - name: Witness
      holdfast.platform.evidence: {state: witnessed}
    - name: Verify
      ansible.builtin.import_role: {name: holdfast.platform._common, tasks_from: recorded.yml}
      vars: {recorded_service: etcd, recorded_verb: verify}
      when: verb | default(false) | bool
"""


class Evidence:
    """Runs against a file of their own."""

    def __init__(self, lab: RunningLab, directory: Path) -> None:
        self.lab, self.file, self.playbook = lab, directory / "evidence.jsonl", directory / "play.yml"
        self.playbook.write_text(PLAY, encoding="utf-8")

    def play(self, *options: str, playbook: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.lab.play(playbook or self.playbook, "-e", f"evidence_file={self.file}", *options)

    def show(self) -> subprocess.CompletedProcess[str]:
        return self.play("--limit", "app-c1,backup-a1", playbook=ROOT / "playbooks/evidence.yml")

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def evidence(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    made = lab.play(ROOT / "playbooks/site.yml", "--tags", "never")  # nothing but the secrets
    assert made.returncode == 0, made.stdout
    return Evidence(lab, tmp_path_factory.mktemp("evidence"))


def test_success_leaves_a_start_and_an_end_without_secrets(evidence: Evidence) -> None:
    done = evidence.play("-e", "seconds=1")
    assert done.returncode == 0, done.stdout
    first, last = evidence.records()
    assert (first["outcome"], last["outcome"]) == ("started", "succeeded")
    assert first["id"] == last["id"]
    assert last["figures"]["asleep"] == 1
    assert set(last["figures"]["secret"].removeprefix("it is ").split()) == {"********"}
    assert last["seconds"] >= 1
    assert first["hosts"] == ["app-c1", "backup-a1"]
    assert evidence.show().returncode == 0


def test_failure_has_its_reason(evidence: Evidence) -> None:
    done = evidence.play("-e", "seconds=0", "-e", "verb=true")
    assert done.returncode == 2, done.stdout
    last = evidence.records()[-1]
    assert (last["operation"], last["outcome"]) == ("verify", "failed")
    assert last["reason"].startswith("app-c1, backup-a1: ")
    assert last["reason"]


def test_a_killed_run_has_no_end(evidence: Evidence) -> None:
    before = len(evidence.records())
    run = subprocess.Popen(
        [
            PROGRAMS / "ansible-playbook",
            *(
                "-i",
                evidence.lab.inventory,
                evidence.playbook,
                "-e",
                "seconds=60",
                "-e",
                f"evidence_file={evidence.file}",
            ),
        ],
        cwd=ROOT,
        env=evidence.lab.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while len(evidence.records()) == before:
        assert time.monotonic() < end
        time.sleep(0.2)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    shown = evidence.show()
    assert shown.returncode == 0, shown.stdout
    assert "no outcome: killed or still running" in shown.stdout


def test_what_was_edited_is_found(evidence: Evidence) -> None:
    whole = evidence.file.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    for broken, named in [
        ([lines[0].replace("backup-a1", "nobody"), *lines[1:]], "line 1: record 1"),
        ([lines[0], *lines[2:]], "line 2: record 3"),
        (lines[:2], "record 3 is missing; it was witnessed by app-c1, backup-a1"),
    ]:
        evidence.file.write_text("".join(broken), encoding="utf-8")
        shown = evidence.show()
        assert shown.returncode != 0
        assert named in shown.stdout, shown.stdout
    evidence.file.write_text(whole, encoding="utf-8")
    assert evidence.show().returncode == 0
