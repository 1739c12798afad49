# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress callback in real runs over local connections: what stands on the screen, and what must not."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

PLAY = """
- name: Converge demo
  hosts: all
  gather_facts: false
  roles: [demo]
"""
TASKS = """
- name: Change something
  ansible.builtin.command: /bin/echo hi
- name: Change items
  ansible.builtin.command: "/bin/echo {{ item }}"
  loop: [one, two]
  changed_when: item == 'two'
- name: Hide it
  ansible.builtin.command: /bin/echo CONFIDENTIAL
  no_log: true
- name: Write a file
  ansible.builtin.copy: {content: "hello\\n", dest: "{{ directory }}/{{ inventory_hostname }}", mode: '0644'}
- name: Say a word
  ansible.builtin.debug: {msg: "good morning {{ inventory_hostname }}"}
- name: Rescue
  block:
    - name: Break for a moment
      ansible.builtin.fail: {msg: broken}
  rescue:
    - name: Mend
      ansible.builtin.ping:
- name: Run on the controller
  ansible.builtin.command: /bin/true
  changed_when: false
  delegate_to: localhost
- name: Break for good
  ansible.builtin.command: sh -c 'echo the reason >&2; exit 3'
  when: inventory_hostname == 'two'
- name: Break in secret
  ansible.builtin.command: sh -c 'echo CONFIDENTIAL; exit 3'
  no_log: true
  when: inventory_hostname == 'two'
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with a play of one role, and three hosts: two local ones, one that nothing answers for."""
    (tmp_path / "roles/demo/tasks").mkdir(parents=True)
    (tmp_path / "roles/demo/tasks/main.yml").write_text(f"---{TASKS}")
    (tmp_path / "play.yml").write_text(f"---{PLAY}")
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "job").mkdir()
    (tmp_path / "hosts").write_text(
        "[all]\none ansible_connection=local\ntwo ansible_connection=local\n"
        "three ansible_host=127.0.0.1 ansible_port=1\n"
        f"[all:vars]\nansible_python_interpreter={sys.executable}\ndirectory={tmp_path}\n"
    )
    return tmp_path


def environment(site: Path) -> dict[str, str]:
    """What a run needs to find the collection of this checkout, and nothing of the caller's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HOLDFAST_"))}
    return kept | {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(site / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "holdfast.platform.progress",
        "HOLDFAST_FIGURES": str(site / "figures.json"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm",
    }


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "ansible", "playbook", "-i", "hosts", "play.yml", *options]


def run(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options), cwd=site, env=environment(site), capture_output=True, text=True, check=False, timeout=120
    )


def test_a_run_without_a_terminal(site: Path) -> None:
    done = run(site, "--diff")
    out = done.stdout
    assert done.returncode in (4, 6), done.stderr
    for text in (
        "== demo: Converge demo\n",
        "  changed      one  Change items: two\n",
        "+hello\n",
        "      good morning one\n",
        "  failed       two  Break for good\n",
        "      | the reason\n",
        "/roles/demo/tasks/main.yml:",
        "  unreachable  three  Change something\n",
    ):
        assert text in out, out
    assert "CONFIDENTIAL" not in out + done.stderr
    assert "\033" not in out
    assert "invocation" not in out
    table = out[out.rindex("service ") :].splitlines()
    assert "UNREACHABLE three (Change something); FAILED two (Break for good)" in table[1]
    figures = json.loads((site / "figures.json").read_text())
    # echo, two items, secret, copy (2), ping
    assert figures["services"]["demo"]["round_trips"] == {"one": 7, "two": 8, "three": 0}
    assert figures["services"]["demo"]["changed"] == 9


def test_check_mode_and_verbosity(site: Path) -> None:
    out = run(site, "--check", "-v", "--limit", "one").stdout
    assert "== demo: Converge demo (check mode)" in out
    assert '"ping": "pong"' in out
    assert "CONFIDENTIAL" not in out


def test_a_terminal_shows_the_running_task(site: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("--limit", "one"),
        cwd=site,
        env=environment(site),
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            seen += chunk
    os.close(ours)
    text = seen.decode()
    assert process.returncode == 0, text
    assert "Run on the controller (1 done)\r\033[2K" in text
    assert "changed      one  Change something" in text
    assert text.rindex("\033[2K") < text.rindex("service ")


def test_under_ansible_runner(site: Path) -> None:
    runner = pytest.importorskip("ansible_runner")
    done = runner.run(
        private_data_dir=str(site / "job"),
        project_dir=str(site),
        playbook="play.yml",
        inventory=str(site / "hosts"),
        limit="one",
        envvars=environment(site),
        quiet=True,
    )
    text = "\n".join(event["stdout"] for event in done.events)
    assert (done.status, done.rc) == ("successful", 0), text
    assert "changed      one  Change something" in text
    assert "service  " in text
    assert "\033[2K" not in text
    assert "CONFIDENTIAL" not in text
