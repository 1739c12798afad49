# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role kubernetes_content declares is taken by a real API server, and nothing is different a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube, _kube_nodes
from ansible_collections.holdfast.platform.plugins.module_utils._kube_apply import Apply
from tests.integration.kubernetes.conftest import Cluster
from tests.kubernetes_content import EVERYTHING, HOSTS, rendered


def test_content_is_taken_and_stays(cluster: Cluster, client: _kube.Client, tmp_path: Path) -> None:
    """All that a site can declare, then the defaults, which take away what they don't have."""
    (tmp_path / "all").mkdir()
    found = rendered(tmp_path / "all", EVERYTHING)
    apply = Apply(client, "holdfast-base", "kube-system")
    assert len(apply.run(found["objects"], check=False).created) == len(found["objects"])
    again = apply.run(found["objects"], check=True)
    assert not again.changed, again.diff
    for name, declared in _kube_nodes.parse(found["nodes"]).items():
        with pytest.raises(_kube_nodes.Absent):
            _kube_nodes.reconcile(client, name, declared, check=False)
    assert len(found["nodes"]) == len(HOSTS)
    (tmp_path / "defaults").mkdir()
    defaults = apply.run(rendered(tmp_path / "defaults", {})["objects"], check=False)
    assert "StorageClass.storage.k8s.io shared-filesystem" in defaults.pruned
    assert "DaemonSet.apps kube-system/kube-proxy" in defaults.configured
    assert cluster.live("-n", "kube-system", "service", "kube-dns")["spec"]["clusterIP"] == "10.96.0.10"  # type: ignore[index]
