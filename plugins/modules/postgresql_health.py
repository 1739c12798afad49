#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_health
short_description: Check a PostgreSQL cluster as its clients see it
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Asks Patroni for the members, and connects over the network as a client does, with TLS and a password. Fails with
    all that is wrong. Changes nothing.
  - Members that are missing, not streaming, behind, on another timeline or waiting for a restart; not exactly one
    leader; no synchronous standby; a path that leads to the wrong member or to none; a path that lets a client in
    without TLS; settings that are not in force.
requirements:
  - psycopg2 on the host
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It only reads.
options:
  members:
    description: Names of the declared members.
    type: list
    elements: str
    required: true
  patroni_urls:
    description: Base URLs of the members' REST interfaces. The first that answers is asked.
    type: list
    elements: str
    required: true
  ca:
    description: File of the authorities that certificates are checked against.
    type: path
    required: true
  synchronous:
    description: Whether commits wait for a standby.
    type: bool
    default: true
  patience:
    description: Seconds that the cluster gets to put itself in order, before a problem counts.
    type: int
    default: 15
  paths:
    description: Ways that clients take.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What people call it.
        type: str
        required: true
      host:
        description: Name or address, checked against the server's certificate.
        type: str
        required: true
      port:
        description: Port number.
        type: int
        required: true
      replica:
        description: Whether it has to lead to a replica, and not to the leader.
        type: bool
        default: false
  database:
    description: Database to connect to.
    type: str
    default: postgres
  user:
    description: User to connect as.
    type: str
    required: true
  password:
    description: Its password.
    type: str
    required: true
  settings:
    description: Settings that have to be in force, as C(SHOW) prints them.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Check the cluster
  holdfast.platform.postgresql_health:
    members: [data-a1, data-b1, data-c1]
    patroni_urls: [https://10.77.1.11:8008]
    ca: /etc/holdfast/pki/postgresql/ca.crt
    user: pgbouncer
    password: "{{ postgresql_pgbouncer_password }}"
    paths:
      - {name: leader, host: postgresql.lab.internal, port: 5000}
    settings: {data_checksums: "on"}
"""

RETURN = r"""
problems:
  description: What is wrong, in words.
  type: list
  elements: str
  returned: always
leader:
  description: Name of the leader.
  type: str
  returned: when a member answers
"""

import time
import traceback
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.holdfast.platform.plugins.module_utils import _patroni_rest
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_health as rules

try:
    import psycopg2
except ImportError:
    psycopg2 = None
    PSYCOPG2_ERROR: str | None = traceback.format_exc()
else:
    PSYCOPG2_ERROR = None


def connect(given: Mapping[str, Any], path: Mapping[str, Any], sslmode: str) -> Any:
    """Open a connection of one path."""
    return psycopg2.connect(
        host=path["host"],
        port=path["port"],
        dbname=given["database"],
        user=given["user"],
        password=given["password"],
        sslmode=sslmode,
        sslrootcert=given["ca"],
        connect_timeout=5,
        application_name="holdfast verify",
    )


def look(given: Mapping[str, Any], path: Mapping[str, Any]) -> rules.Seen | str:
    """What a client sees on one path; why not, when it sees nothing."""
    try:
        connection = connect(given, path, "verify-full")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            replica = bool(cursor.fetchone()[0])
            cursor.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(given["settings"])]
            )
            settings = dict(cursor.fetchall())
        connection.close()
    except psycopg2.Error as error:
        return " ".join(str(error).split())
    return rules.Seen(replica, settings)


def open_door(given: Mapping[str, Any], path: Mapping[str, Any]) -> list[str]:
    """Whether the path lets a client in without TLS."""
    try:
        connect(given, path, "disable").close()
    except psycopg2.Error:
        return []
    return [f"{path['name']} lets a client in without TLS"]


def settled(given: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The leader and what is wrong with the cluster, once what is only on its way has had the time to arrive.

    Patroni makes changes, of who is synchronous say, one in a round of its loop.
    """
    wish = rules.Wish(given["members"], given["synchronous"])
    client = _patroni_rest.Client(given["patroni_urls"], ca_path=given["ca"])
    end = time.monotonic() + given["patience"]
    while True:
        try:
            _, cluster = client.first("/cluster")
        except _patroni_rest.UnavailableError as error:
            leader, problems = None, [f"no member's Patroni answers: {error}"]
        else:
            leader = next((one["name"] for one in cluster["members"] if one["role"] in rules.LEADERS), None)
            problems = rules.judge_cluster(wish, cluster)
        if not problems or time.monotonic() > end:
            return leader, problems
        time.sleep(1)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "members": {"type": "list", "elements": "str", "required": True},
            "patroni_urls": {"type": "list", "elements": "str", "required": True},
            "ca": {"type": "path", "required": True},
            "synchronous": {"type": "bool", "default": True},
            "patience": {"type": "int", "default": 15},
            "paths": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "host": {"type": "str", "required": True},
                    "port": {"type": "int", "required": True},
                    "replica": {"type": "bool", "default": False},
                },
            },
            "database": {"type": "str", "default": "postgres"},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "settings": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    given = module.params
    if psycopg2 is None:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_ERROR)
    leader, problems = settled(given)
    for path in given["paths"]:
        seen = look(given, path)
        problems += rules.judge_client(path["name"], seen, replica=path["replica"], settings=given["settings"])
        problems += [] if isinstance(seen, str) else open_door(given, path)
    if problems:
        module.fail_json(msg="postgresql: " + "; ".join(problems), problems=problems, leader=leader)
    module.exit_json(changed=False, problems=[], leader=leader)


if __name__ == "__main__":
    main()
