# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What 50 unchanged files cost on one host: `python tests/bench/bench_bundle.py [--host app-c1] [--times 3]`.

Three plays, each a whole `ansible-playbook` process over a warm SSH connection, one after the other in every round, so
that a busy machine slows all of them: a bare `ping`, one `bundle`, and 50 `template` tasks of the same templates.
Judged is the median of each: bundle <= 1.3 x ping + 0.6 s, and template tasks >= 15 x bundle (issue 3, part 4).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = 50
TARGET = "/etc/holdfast-bench"
TEMPLATE = """# {{ ansible_managed }}
[server]
name = {{ inventory_hostname }}
number = NUMBER
{% for port in ports %}
listen = {{ address | default('127.0.0.1') }}:{{ port }}
{% endfor %}
"""


def write_role(role: Path) -> None:
    """50 small templates, the bundle that carries them all, and one template task for each."""
    (role / f"templates{TARGET}").mkdir(parents=True)
    (role / "tasks").mkdir()
    templates = []
    for number in range(FILES):
        name = f"{TARGET}/service-{number}.conf"
        (role / f"templates{name}.j2").write_text(TEMPLATE.replace("NUMBER", str(number)))
        task = {"src": f"{name[1:]}.j2", "dest": name, "mode": "0644"}
        templates.append({"name": f"Write {name}", "ansible.builtin.template": task})
    (role / "tasks" / "template.yml").write_text(yaml.safe_dump(templates))
    tasks: dict[str, dict[str, object]] = {
        "ping": {"name": "Ping", "ansible.builtin.ping": {}},
        "bundle": {"name": "Apply", "holdfast.platform.bundle": {"name": "bench"}},
        "remove": {"name": "Remove", "ansible.builtin.command": f"rm -rf {TARGET} /var/lib/holdfast/bundles/bench"},
    }
    for name, content in tasks.items():
        (role / "tasks" / f"{name}.yml").write_text(yaml.safe_dump([content]))


def play(directory: Path, what: str, host: str) -> float:
    """Run one play; the seconds it took. Exits when it fails, or changes something after the first round."""
    role = {"name": "bench", "tasks_from": what}
    tasks = [{"name": "Do it", "ansible.builtin.import_role": role, "vars": {"ports": [80, 443]}}]
    playbook = directory / f"{what}.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": host, "gather_facts": False, "become": True, "tasks": tasks}]))
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(directory / "roles"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    argv: list[Path | str] = [
        Path(sys.executable).parent / "ansible-playbook",
        "-i",
        CHECKOUT / "inventories" / "lab",
        playbook,
    ]
    started = time.monotonic()
    done = subprocess.run(argv, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stdout}{done.stderr}")
    if what in ("bundle", "template") and " changed=0 " not in done.stdout and (directory / "warm").exists():
        raise SystemExit(f"{what} changed something in a run that had nothing to change:\n{done.stdout}")
    return seconds


def main() -> None:
    """Print the medians and their ratios; fail when a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="app-c1")
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {"ping": [], "bundle": [], "template": []}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_role(directory / "roles" / "bench")
        try:
            for what in seconds:  # warms the connection and puts the files in place
                play(directory, what, given.host)
            (directory / "warm").touch()
            for _ in range(given.times):
                for what, taken in seconds.items():
                    taken.append(play(directory, what, given.host))
        finally:
            play(directory, "remove", given.host)
    ping, bundle, template = (statistics.median(taken) for taken in seconds.values())
    limit = 1.3 * ping + 0.6
    print(f"{FILES} unchanged files on one host, seconds (median of {given.times})")
    for what, taken in seconds.items():
        print(f"  {what:<10}{statistics.median(taken):7.2f}   {min(taken):.2f} - {max(taken):.2f}")
    print(f"  bundle: limit 1.3 x ping + 0.6 = {limit:.2f}; {template / bundle:.1f} times faster than template tasks")
    if bundle > limit or template < 15 * bundle:
        raise SystemExit("too slow: bundle has to be within the limit, and at least 15 times faster")


if __name__ == "__main__":
    main()
