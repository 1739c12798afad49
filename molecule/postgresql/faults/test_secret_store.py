# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's secrets move to a key-value server, a password is replaced there, and they come back."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, RunningLab
from tests.kv import DATA
from tests.kv.fake import FakeKV

SECRET = "postgresql/app_rw"


@pytest.mark.full
def test_a_rotation_with_the_secrets_on_a_server(lab: RunningLab, tmp_path: Path) -> None:
    server = FakeKV(tmp_path)
    where = {"secrets_kv": {"url": server.url, "ca_file": str(server.ca_file)}}
    token = server.token(DATA)

    def play(name: str, *options: str, fails: bool = False, **variables: object) -> subprocess.CompletedProcess[str]:
        server.requests.clear()
        extra = json.dumps({**where, **variables})
        done = lab.play(ROOT / f"playbooks/{name}.yml", "-e", extra, *options, VAULT_TOKEN=token)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    def questions() -> Counter[str]:
        return Counter(request.split("/")[0] for request in server.requests)

    before = lab.secret(SECRET)
    play("secrets_move", secrets_move_to="kv")
    try:
        owners = len(server.entries)
        assert owners > 3
        play("verify", "--tags", "credentials", secrets_backend="kv")
        assert questions() == {"LIST secret": 1, "GET secret": owners}, server.requests
        play("rotate", secrets_backend="kv", rotate_secret=SECRET)
        print(f"a rotation asks the server: {dict(questions())}")
        # A change reads the entry anew; no worker of any host has to ask for what another one has changed.
        asked = questions()
        assert asked["LIST secret"] == 1
        assert asked["GET secret"] < owners + 2 * asked["POST secret"], server.requests
        now = server.entries["holdfast/lab/postgresql"][-1]["app_rw"]
        assert now["current"] != before
        assert "journal" not in now
        said = play("secrets_move", secrets_move_to="files", secrets_backend="kv", fails=True)
        assert f"other values are there already: {SECRET}; nothing was moved" in " ".join(said.stdout.split())
    finally:
        play("secrets_move", secrets_move_to="files", secrets_move_replace=True, secrets_move_remove=True)
        server.stop()
    assert server.entries == {}
    assert lab.secret(SECRET) == now["current"]
    play("verify", "--tags", "credentials")
