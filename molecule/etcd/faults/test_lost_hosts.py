# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are all lost are replaced by empty ones, which get the data back."""

from __future__ import annotations

import datetime
import subprocess
import sys

import pytest

from molecule.etcd.conftest import MEMBERS, Etcd
from tests.integration.conftest import ROOT
from tests.runs import good

pytestmark = pytest.mark.full


def test_empty_hosts_get_the_state_of_a_time(etcd: Etcd) -> None:
    etcd.ctl("put /test/kept before")
    good(etcd.play("backup"))
    moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    etcd.ctl("put /test/kept after")
    good(etcd.play("backup"))
    for host in MEMBERS:
        renew = [sys.executable, "-m", "tests.lab", "renew", host]
        subprocess.run(renew, cwd=ROOT, env=etcd.lab.environment(), check=True)
    good(etcd.play("site", "--tags", "base"))
    good(etcd.play("restore", "--extra-vars", f"etcd_restore_time={moment}"))
    assert etcd.ctl("get /test/kept --print-value-only").strip() == "before"
    good(etcd.play("verify"))
