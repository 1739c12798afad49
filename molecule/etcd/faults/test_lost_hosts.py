# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is dead is replaced by one with another name; hosts that are all lost by empty ones, with their data."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from molecule.etcd.conftest import MEMBERS, Etcd, good
from tests.integration.conftest import ROOT

pytestmark = pytest.mark.full


@pytest.fixture
def replaced(etcd: Etcd, tmp_path: Path) -> Path:
    """The inventory in which the spare host is a member in place of data-b1."""
    site = yaml.safe_load((etcd.lab.inventory / "site.yml").read_text(encoding="utf-8"))
    site["pools"]["data"]["generate"]["zones"] = ["a", "c"]
    site["pools"]["spare"]["services"] = ["etcd"]
    inventory = tmp_path / "lab"
    inventory.mkdir()
    (inventory / "site.yml").write_text(f"---\n{yaml.safe_dump(site, sort_keys=False)}", encoding="utf-8")
    (inventory / "group_vars").symlink_to(etcd.lab.inventory / "group_vars")
    return inventory


def test_a_dead_host_is_replaced_by_a_new_one_with_another_name(etcd: Etcd, replaced: Path) -> None:
    etcd.lab.stop("data-b1")
    refused = etcd.play("remove", "--extra-vars", "remove_host=data-a1")
    assert refused.returncode != 0
    assert "data-a1 stays: of the 2 members without it, data-b1 does not answer" in refused.stdout
    early = etcd.play("site", "--tags", "base", inventory=replaced)
    assert early.returncode != 0
    assert "make remove HOST=data-b1" in early.stdout
    etcd.play("remove", "--extra-vars", "remove_host=data-b1")
    assert "data-b1" not in etcd.ctl("member list")
    good(etcd.play("site", "--tags", "base", inventory=replaced))
    assert "spare-b1" in etcd.ctl("member list")
    good(etcd.play("verify", inventory=replaced))

    # And back: the host that was dead is no member any more, and says so before anything is touched.
    etcd.lab.start("data-b1")
    gone = ("--extra-vars", "remove_host=spare-b1", "--extra-vars", "etcd_remove_data=true")
    good(etcd.play("remove", *gone, inventory=replaced))
    stale = etcd.play("site", "--tags", "base")
    assert stale.returncode != 0
    assert "move its data directory away" in stale.stdout
    etcd.lab.run("data-b1", "systemctl stop etcd; mv /var/lib/etcd/holdfast /var/lib/etcd/holdfast.dead")
    good(etcd.play("site", "--tags", "base"))
    good(etcd.play("verify"))


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
