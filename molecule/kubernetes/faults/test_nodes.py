# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs and images on nodes that have joined: refused, replaced and kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock, _mirror
from tests.integration.conftest import ROOT, RunningLab

CTR = "ctr --namespace k8s.io images"


@pytest.fixture
def node(lab: RunningLab) -> str:
    """A host that is no control plane."""
    return next(host for host in lab.group("kubernetes_node") if host not in lab.group("kubernetes"))


def bring(lab: RunningLab, work: Path, node: str, **mirror: str) -> dict[str, Any]:
    """What the module answers that brings the pause image."""
    playbook = work / "play.yml"
    task = {"holdfast.platform.images": {"names": ["pause"], **mirror}, "ignore_errors": True}
    play = {"hosts": node, "gather_facts": False, "become": True, "tasks": [task]}
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    done = lab.play(playbook, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (host,) = json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"][0]["hosts"].values()
    return dict(host)


def test_a_damaged_image_is_refused_and_another_one_of_its_name_is_replaced(
    lab: RunningLab, node: str, tmp_path: Path
) -> None:
    ((artifact, image),) = _artifact_lock.load().images(["pause"])
    place = _mirror.Mirror(_mirror.default(), "amd64", "build").place(artifact)
    shutil.copytree(place, tmp_path / "mirror" / place.name)
    archive = tmp_path / "mirror" / place.name / "pause.image.tar"
    content = bytearray(archive.read_bytes())
    content[-5000] ^= 1
    archive.write_bytes(content)

    def shown() -> str:
        """The digest of the manifest that the image's name stands for."""
        rows = (row.split() for row in lab.run(node, f"{CTR} ls").splitlines())
        return next((row[2] for row in rows if row[0] == image.reference), "")

    good = shown()
    other = next(row.split()[0] for row in lab.run(node, f"{CTR} ls").splitlines() if "coredns" in row)
    assert bring(lab, tmp_path, node)["changed"] is False
    lab.run(node, f"{CTR} rm {image.reference} && {CTR} tag {other} {image.reference}")
    assert shown() not in ("", good)
    refused = bring(lab, tmp_path, node, directory=str(tmp_path / "mirror"))
    assert f"{image.reference}: " in refused["msg"]
    assert "is damaged: its sum is" in refused["msg"]
    assert shown() != good
    assert bring(lab, tmp_path, node)["missing"] == [image.reference]
    assert shown() == good
    lab.run(node, f"{CTR} rm {image.reference}")
    refused = bring(lab, tmp_path, node, directory=str(tmp_path))
    assert f"{image.reference} for amd64: the mirror has no archive" in refused["msg"]
    assert bring(lab, tmp_path, node)["missing"] == [image.reference]
    assert bring(lab, tmp_path, node)["changed"] is False


def test_a_node_keeps_its_kubelet_and_is_checked_before_anything_changes(
    lab: RunningLab, node: str, tmp_path: Path
) -> None:
    lock = yaml.safe_load((ROOT / "artifacts.lock.yml").read_text(encoding="utf-8"))
    before = lock["artifacts"]["kubernetes"]["version"]
    lock["artifacts"]["kubernetes"]["version"] = "9.9.9"
    newer = tmp_path / "newer.lock.yml"
    newer.write_text(yaml.safe_dump(lock), encoding="utf-8")
    used = lab.run(node, "readlink -f /usr/local/bin/kubelet")

    def converge(**variables: Any) -> tuple[int, str]:
        options = ("--tags", "kubernetes_node", "--limit", node, "-e", json.dumps(variables))
        done = lab.play(ROOT / "playbooks/site.yml", *options)
        return done.returncode, done.stdout

    status, said = converge(mirror_lock=str(newer), kubernetes_node_images=["pause"])
    assert status == 0, said[-3000:]
    assert f"with Kubernetes {before} and keeps it; the lock file says 9.9.9" in said
    status, said = converge(kubernetes_node_memory=99999999)
    assert status != 0
    assert "nothing was changed: the host has" in said
    assert lab.run(node, "readlink -f /usr/local/bin/kubelet") == used
