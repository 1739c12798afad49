# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role kubernetes_content would send to the API, rendered by Ansible for a made-up site."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
ROLE = ROOT / "roles/kubernetes_content"
Object = dict[str, Any]

#: Three control planes and two others.
HOSTS = {
    f"{pool}-{zone}1": {"address": f"10.0.{number}.{last}", "zone": zone, "pool": pool}
    for pool, last in (("control", 11), ("application", 21))
    for number, zone in enumerate("abc", 1)
    if pool == "control" or zone != "c"
}
IMAGES = {name: f"registry.example.org/{name}:v1" for name in ("kube-proxy", "coredns", "flannel", "metrics-server")}
#: All that a site can declare.
EVERYTHING = {
    "kubernetes_content_region": "north",
    "kubernetes_content_pools": {
        "application": {
            "labels": {"disk": "ssd"},
            "annotations": {"example.org/rack": "7"},
            "taints": [{"key": "dedicated", "value": "application", "effect": "NoSchedule"}],
        }
    },
    "kubernetes_content_nodes": {"application-b1": {"labels": {"disk": "disk"}}},
    "kubernetes_content_conntrack": {"maxPerCore": 0, "min": 0},
    "kubernetes_content_dns_forward": ["10.0.1.53", "10.0.2.53"],
    "kubernetes_content_dns_replicas": 3,
    "kubernetes_content_metrics_replicas": 1,
    "kubernetes_content_storage_classes": {
        "fast-ssd": {"mount_options": ["noatime"]},
        "standard-ssd": {"default": True},
        "shared-filesystem": {
            "provisioner": "nfs.csi.example.org",
            "parameters": {"server": "10.0.1.60"},
            "expandable": True,
            "reclaim": "Retain",
        },
    },
    "kubernetes_content_local_volumes": [
        {"node": "application-a1", "path": "/srv/volumes/1", "size": "10Gi", "class": "fast-ssd"},
        {"node": "application-b1", "path": "/srv/volumes/1", "size": 1000000000, "class": "standard-ssd"},
    ],
    "kubernetes_content_namespaces": {
        "shop": {
            "labels": {"team": "sales"},
            "pod_security": {"enforce": "restricted"},
            "quota": {"requests.cpu": 4, "requests.memory": "8Gi", "pods": 50},
            "limits": {"default": {"memory": "256Mi"}, "defaultRequest": {"cpu": "50m", "memory": "64Mi"}},
            "allow": {
                "web": {
                    "podSelector": {"matchLabels": {"app": "web"}},
                    "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 8080}]}],
                }
            },
            "disruption_budgets": {"web": {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1}},
        },
        "sandbox": {"deny": False},
        "plain": {},
    },
}


def rendered(directory: Path, declared: Mapping[str, Any]) -> Object:
    """`nodes`, `identities` and `objects` for what a site declares. directory: an empty one."""
    hosts = {name: {**host, "ansible_connection": "local"} for name, host in HOSTS.items()}
    control: dict[str, Object] = {name: {} for name in HOSTS if name.startswith("control")}
    inventory = {"kubernetes_node": {"hosts": hosts}, "kubernetes": {"hosts": control}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    (directory / "templates").symlink_to(ROLE / "templates")
    result = directory / "result.json"
    text = "{{ {'nodes': __kubernetes_content_site.nodes, 'identities': __kubernetes_content_site.identities, "
    text += "'objects': __kubernetes_content_objects} | to_json }}"
    play = {
        "hosts": "control-a1",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "tasks": [{"name": "Render", "ansible.builtin.copy": {"content": text, "dest": str(result), "mode": "0600"}}],
    }
    (directory / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    more = {
        "__kubernetes_content_images": IMAGES,
        "kubernetes_content_balancer_port": 7443,
        "kubernetes_content_api_port": 6443,
        "kubernetes_content_vxlan_port": 8472,
        **declared,
    }
    (directory / "more.json").write_text(json.dumps(more), encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), "-i", f"{directory}/hosts.yml", "-e", f"@{directory}/more.json", f"{directory}/play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: Object = json.loads(result.read_text(encoding="utf-8"))
    return found
