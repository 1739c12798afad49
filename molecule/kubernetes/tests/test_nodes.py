# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every node has: a way to the API that is its own, and a kubelet with the site's settings."""

from __future__ import annotations

import json

from tests.integration.conftest import RunningLab

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"


def test_the_balancer_serves_its_own_node_alone(lab: RunningLab) -> None:
    for host in lab.group("kubernetes_node"):
        rows = lab.run(host, "ss -Hltn 'sport = 7443'").splitlines()
        assert [row.split()[3] for row in rows] == ["127.0.0.1:7443"], host


def test_the_package_of_the_balancer_runs_nothing_of_its_own(lab: RunningLab) -> None:
    for host in lab.group("kubernetes_node"):
        lab.run(host, "systemctl start haproxy", check=False)  # as at boot
        shown = lab.run(host, "systemctl is-active haproxy kubernetes-balancer", check=False).split()
        assert shown == ["inactive", "active"], host


def test_kubelets_have_the_settings_of_the_site(lab: RunningLab) -> None:
    control = lab.group("kubernetes")[0]
    for host in lab.group("kubernetes_node"):
        answer = lab.run(control, f"{KUBECTL} get --raw /api/v1/nodes/{host}/proxy/configz")
        config = json.loads(answer)["kubeletconfig"]
        wanted = {
            "protectKernelDefaults": True,
            "seccompDefault": True,
            "podPidsLimit": 4096,
            "rotateCertificates": True,
            "serverTLSBootstrap": True,
            "tlsMinVersion": "VersionTLS12",
            "cgroupDriver": "systemd",
        }
        assert {key: config.get(key) for key in wanted} == wanted, host
        # kubeadm's own are in force beside them.
        assert (config["authorization"]["mode"], config["authentication"]["anonymous"]["enabled"]) == ("Webhook", False)
        assert config.get("readOnlyPort", 0) == 0
        assert all("GCM" in suite or "CHACHA20" in suite for suite in config["tlsCipherSuites"])
