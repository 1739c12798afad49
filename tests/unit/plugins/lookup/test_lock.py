# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookups of the lock file in a play: versions and references, of the collection's file or a site's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
LOCK = """
go: 1.26.8
artifacts:
  demo:
    version: 4.5.6
    build: {programs: {demo: ./programs/pause}}
    images: {demo-image: {reference: "registry.example/demo:v{version}", programs: [demo]}}
"""


@pytest.mark.parametrize(
    ("own", "asked", "told"),
    [
        (False, "lookup('holdfast.platform.image', 'pause', 'etcd').split(':') | first", "registry.k8s.io/pause"),
        (False, "lookup('holdfast.platform.image', 'paus')", "there is no such image; did you mean 'pause'?"),
        (False, "lookup('holdfast.platform.artifact', 'etdc')", "there is no such artifact; did you mean 'etcd'?"),
        (
            True,
            "lookup('holdfast.platform.image', 'demo-image') ~ ' ' ~ lookup('holdfast.platform.artifact', 'demo')",
            "registry.example/demo:v4.5.6 4.5.6",
        ),
    ],
)
def test_the_lock_file_is_looked_up(tmp_path: Path, own: bool, asked: str, told: str) -> None:
    lock = tmp_path / "own.lock.yml"
    lock.write_text(LOCK, encoding="utf-8")
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n", encoding="utf-8")
    arguments = [
        *("localhost", "-m", "ansible.builtin.debug", "-a", f'msg="{{{{ {asked} }}}}"'),
        *(["-e", json.dumps({"mirror_lock": str(lock)})] if own else []),
    ]
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "false", "ANSIBLE_INVENTORY": str(hosts)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told in done.stdout + done.stderr
