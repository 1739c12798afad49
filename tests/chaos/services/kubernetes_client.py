# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What writes to the Kubernetes API: a ConfigMap for each number, through the balancer of its own node.

Runs on a host of the site, beside tests/chaos/writer.py; what it is told comes from services/kubernetes.py.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

CREATED = 201


class AnsweredError(Exception):
    """The API answered something else than that it did it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:200]}")
        self.status = status


class Client:
    """A connection to the API. settings: host, port, ca (PEM), token, namespace, timeout, run."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.connection = http.client.HTTPSConnection(
            settings["host"],
            settings["port"],
            timeout=settings["timeout"],
            context=ssl.create_default_context(cadata=settings["ca"]),
        )
        self.connection.connect()

    def write(self, number: int) -> None:
        """Create the ConfigMap of a number. It is acknowledged when etcd has it."""
        run, namespace = self.settings["run"], self.settings["namespace"]
        body = {"metadata": {"name": f"{run}-{number}", "labels": {"run": run}}, "data": {"number": str(number)}}
        headers = {"Authorization": f"Bearer {self.settings['token']}", "Content-Type": "application/json"}
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.connection.request("POST", path, json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status != CREATED:
            raise AnsweredError(answer.status, text)

    def refused(self, error: Exception) -> bool:
        """Whether nothing was written for certain: the API judged it before it asked etcd (4xx but for a timeout)."""
        return isinstance(error, AnsweredError) and 400 <= error.status < 500 and error.status not in (408, 409)

    def close(self) -> None:
        """Never fails."""
        self.connection.close()
