# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control planes that are changed, lost, cut off and brought back."""

from __future__ import annotations

import base64
import json
import time

import pytest

from molecule.kubernetes.conftest import CONTROL, KUBECTL, Cluster
from tests.integration.conftest import ROOT, RunningLab
from tests.runs import good, unchanged
from tests.waiting import eventually

SITE = ROOT / "playbooks/site.yml"
PARTS = ("--tags", "kubernetes_node,kubernetes,kubernetes_worker,kubernetes_content")
ETCDCTL = (
    "etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/healthcheck-client.crt "
    "--key /etc/kubernetes/pki/etcd/healthcheck-client.key"
)


def keys(lab: RunningLab, host: str) -> set[str]:
    """The keys that Secrets are encrypted with in etcd."""
    stored = f"{ETCDCTL} get /registry/secrets/ --prefix --print-value-only"
    return set(lab.run(host, f"{stored} | grep -a -o 'k8s:enc:secretbox:v1:key-[0-9a-f]*' | sort -u").split())


def declared(lab: RunningLab, host: str) -> list[str]:
    """The names of the keys in a control plane's file, the one that is written with first."""
    file = "/etc/holdfast/kubernetes/encryption.yaml"
    return lab.run(host, f"grep -o 'key-[0-9a-f]*' {file}").split()


def members(lab: RunningLab) -> dict[str, str]:
    """The ids of etcd's members by name."""
    listed = json.loads(lab.run(CONTROL[1], f"{ETCDCTL} member list -w json"))["members"]
    return {one.get("name", ""): str(one["ID"]) for one in listed}


def test_what_a_copy_holds_comes_back_and_what_came_later_goes(cluster: Cluster) -> None:
    lab = cluster.lab
    cluster.kubectl("delete namespace kept late --ignore-not-found --wait")
    cluster.kubectl("create namespace kept")
    cluster.kubectl("-n kept create secret generic word --from-literal=word=xyzzy")
    good(lab.make("backup", "SERVICE=kubernetes"))
    cluster.kubectl("-n kept delete secret word")
    cluster.kubectl("create namespace late")
    good(lab.make("restore", "SERVICE=kubernetes"))
    encoded = cluster.live("-n kept secret word")["data"]["word"]
    assert encoded == "eHl6enk="
    assert "late" not in {one["metadata"]["name"] for one in cluster.live("namespaces")["items"]}
    # Controllers and watches work: a deployment gets its pod, and the pod its node.
    cluster.kubectl("-n kube-system rollout restart deployment coredns")
    cluster.kubectl("-n kube-system rollout status deployment coredns --timeout=180s")
    unchanged(lab.play(SITE, *PARTS))


@pytest.mark.full
def test_a_changed_flag_lands_on_one_control_plane_after_the_other(cluster: Cluster) -> None:
    lab = cluster.lab
    flag = ("-e", json.dumps({"kubernetes_api_arguments": {"goaway-chance": "0.001"}}))
    shown = good(lab.play(SITE, *PARTS, "--check", "--diff", *flag))
    assert "--goaway-chance=0.001" in shown
    good(lab.play(SITE, *PARTS, *flag))
    for host in CONTROL:
        assert "--goaway-chance=0.001" in lab.run(host, "tr '\\0' '\\n' < /proc/$(pgrep -x kube-apiserver)/cmdline")
    config = cluster.live("-n kube-system configmap kubeadm-config")["data"]["ClusterConfiguration"]
    assert "goaway-chance" in config
    unchanged(lab.play(SITE, *PARTS, *flag))
    good(lab.play(SITE, *PARTS))
    for host in CONTROL:
        assert "goaway-chance" not in lab.run(host, "tr '\\0' '\\n' < /proc/$(pgrep -x kube-apiserver)/cmdline")


@pytest.mark.full
def test_certificates_that_are_old_are_renewed_on_one_control_plane_after_the_other(cluster: Cluster) -> None:
    lab = cluster.lab
    read = (
        "for f in apiserver etcd/server etcd/peer; do openssl x509 -noout -serial -in /etc/kubernetes/pki/$f.crt; done"
    )
    before = {host: lab.run(host, read) for host in CONTROL}
    processes = {host: lab.run(host, "pgrep -x 'etcd|kube-apiserver'") for host in CONTROL}
    old = ("-e", "kubernetes_certificate_renew_days=400")
    assert "renew" in good(lab.play(SITE, *PARTS, "--check", "-v", *old))
    good(lab.play(SITE, *PARTS, *old))
    for host in CONTROL:
        assert not set(lab.run(host, read).split()) & set(before[host].split())
        assert not set(lab.run(host, "pgrep -x 'etcd|kube-apiserver'").split()) & set(processes[host].split())
        # What is shown is what was renewed.
        served = f"openssl s_client -connect {lab.address(host)}:6443 </dev/null 2>/dev/null"
        assert lab.run(host, f"{served} | openssl x509 -noout -serial").strip() in lab.run(host, read)
    unchanged(lab.play(SITE, *PARTS))


@pytest.mark.full
def test_another_key_for_secrets_is_used_for_all_of_them_and_the_old_one_goes(cluster: Cluster) -> None:
    lab = cluster.lab
    before = declared(lab, CONTROL[0])
    assert len(before) == 1
    cluster.kubectl("delete namespace coded --ignore-not-found --wait")
    cluster.kubectl("create namespace coded")
    cluster.kubectl("-n coded create secret generic word --from-literal=word=xyzzy")
    good(lab.make("backup", "SERVICE=kubernetes"))
    good(lab.make("rotate", "SECRET=kubernetes/encryption"))
    for host in CONTROL:
        after = declared(lab, host)
        assert len(after) == 1
        assert after != before
    assert keys(lab, CONTROL[0]) == {f"k8s:enc:secretbox:v1:{after[0]}"}
    assert cluster.live("-n coded secret word")["data"]["word"] == "eHl6enk="
    unchanged(lab.play(SITE, *PARTS))
    # A copy of the time before is read all the same, and is under today's key then.
    good(lab.make("restore", "SERVICE=kubernetes"))
    assert cluster.live("-n coded secret word")["data"]["word"] == "eHl6enk="
    assert keys(lab, CONTROL[0]) == {f"k8s:enc:secretbox:v1:{after[0]}"}
    good(lab.play(SITE, *PARTS))
    assert declared(lab, CONTROL[0]) == after


@pytest.mark.full
def test_another_key_signs_tokens_and_those_of_the_old_one_are_refused(cluster: Cluster) -> None:
    lab = cluster.lab
    cluster.kubectl("delete namespace signed --ignore-not-found --wait")
    cluster.kubectl("create namespace signed")
    lasting = {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "lasting", "annotations": {"kubernetes.io/service-account.name": "default"}},
    }  # fmt: skip
    cluster.kubectl("-n signed apply -f -", json.dumps(lasting))
    old = cluster.kubectl("-n signed create token default").strip()

    def who(token: str) -> str:
        """Whom an API server takes the bearer for; the token goes by a file."""
        config = f'printf \'%s\' "$(cat)" > /run/token; {KUBECTL} --kubeconfig /dev/null --token "$(cat /run/token)"'
        server = f"--server https://{lab.address(CONTROL[1])}:6443 --certificate-authority /etc/kubernetes/pki/ca.crt"
        shown = lab.run(CONTROL[1], f"{config} {server} auth whoami 2>&1; rm /run/token", token, check=False)
        return "default" if "system:serviceaccount:signed:default" in shown else shown.strip()

    def kept() -> str:
        return base64.b64decode(cluster.live("-n signed secret lasting")["data"]["token"]).decode()

    before = kept()
    assert (who(old), who(before)) == ("default", "default")
    begun = time.monotonic()
    good(lab.make("rotate", "SECRET=kubernetes/service_account"))
    print(f"the key of service accounts was rotated in {time.monotonic() - begun:.0f} s")
    new = cluster.kubectl("-n signed create token default").strip()
    assert (who(new), who(kept())) == ("default", "default")
    assert "Unauthorized" in who(old)
    assert "Unauthorized" in who(before)
    # Programs in pods have new ones, and work.
    cluster.kubectl("-n kube-system rollout restart deployment coredns")
    cluster.kubectl("-n kube-system rollout status deployment coredns --timeout=180s")
    unchanged(lab.play(SITE, *PARTS))
    good(lab.play(ROOT / "playbooks/verify.yml"))


@pytest.mark.full
def test_the_first_control_plane_is_replaced_by_an_empty_host(cluster: Cluster) -> None:
    lab = cluster.lab
    before = members(lab)
    begun = time.monotonic()
    lab.lab.renew(CONTROL[0])
    good(lab.play(SITE))
    print(f"the first control plane was replaced in {time.monotonic() - begun:.0f} s, with the whole site's run")
    after = members(lab)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {CONTROL[0]}
    assert lab.run(CONTROL[0], f"{KUBECTL} --server https://{lab.address(CONTROL[0])}:6443 get --raw /readyz") == "ok"
    unchanged(lab.play(SITE, *PARTS))


@pytest.mark.full
@pytest.mark.parametrize("after", [2.0, 8.0])
def test_a_join_that_was_killed_goes_on(cluster: Cluster, after: float) -> None:
    lab = cluster.lab
    lab.lab.renew(CONTROL[2])
    lab.killed(SITE, when="Join the cluster", after=after)
    good(lab.play(SITE))
    assert set(members(lab)) == set(CONTROL)
    ready = f"{KUBECTL} --server https://{lab.address(CONTROL[2])}:6443 get --raw /readyz"
    eventually(lambda: lab.run(CONTROL[2], ready, check=False) == "ok", 60, "the API server that joined is ready")
    unchanged(lab.play(SITE, *PARTS))
