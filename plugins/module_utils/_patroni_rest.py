# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of Patroni's REST interface: verified TLS, no proxy, errors that name the member and the reason."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: Seconds for one request; a member answers from memory, so it either answers soon or is in trouble.
REQUEST_TIMEOUT = 5


class FailedError(Exception):
    """A member answered, and the answer is no; `status` is the HTTP status, 0 when TLS failed."""

    def __init__(self, reason: str, status: int = 0) -> None:
        """Take the reason and the status."""
        super().__init__(reason)
        self.status = status


class AbsentError(Exception):
    """Nothing answers there: refused, no route, no such name, silence."""


class UnavailableError(Exception):
    """No member gave an answer. `absent` tells that nothing runs at any of the addresses."""

    def __init__(self, reasons: Sequence[str], *, absent: bool) -> None:
        """Take the reason of each address."""
        super().__init__("; ".join(reasons))
        self.absent = absent


class Client:
    """Talks to the REST interfaces of one cluster's members.

    ca_path, client_cert and client_key are files; username and password, when given, go with every request.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        ca_path: str | None = None,
        username: str | None = None,
        password: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
    ) -> None:
        """Keep how to connect; nothing is opened yet."""
        self.urls = [url.rstrip("/") for url in urls]
        wrong = [url for url in self.urls if not url.startswith("https://")]
        if wrong or not self.urls:
            raise ValueError(f"urls: {', '.join(wrong) or 'empty'}: give https://<address>:<port> of each member")
        self._files = [path for path in (ca_path, client_cert, client_key) if path]
        self._ca_path, self._client_cert, self._client_key = ca_path, client_cert, client_key
        self._headers = {"Accept": "application/json"}
        if username is not None:
            pair = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        self._opener: urllib.request.OpenerDirector | None = None

    def _connect(self) -> urllib.request.OpenerDirector:
        """Build the opener once its files exist; on a fresh host they don't yet."""
        if self._opener is None:
            missing = [path for path in self._files if not Path(path).exists()]
            if missing:
                raise FileNotFoundError(f"{missing[0]} does not exist on this host")
            context = ssl.create_default_context(cafile=self._ca_path)
            if self._client_cert:
                context.load_cert_chain(self._client_cert, self._client_key)
            # A proxy of the environment has no business between members of a cluster.
            self._opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
        return self._opener

    def request(
        self, url: str, path: str, *, method: str = "GET", body: object = None, timeout: float = REQUEST_TIMEOUT
    ) -> Any:
        """Send one request to one member and return the decoded answer; timeout is in seconds.

        Raises AbsentError when nothing answers, FailedError when the answer is not a success or can't be trusted;
        both name the address.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers if data is None else {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with self._connect().open(request, timeout=timeout) as answer:
                if method == "POST" and answer.headers.get_content_type() != "application/json":
                    return answer.read().decode(errors="replace")  # `restarted successfully`, say
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(500).decode(errors="replace").strip()
            raise FailedError(f"{url}: {_explain(error.code, text, method)}", error.code) from error
        except (urllib.error.URLError, ssl.SSLError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(error, ssl.SSLError) or isinstance(reason, ssl.SSLError):
                raise FailedError(f"{url}: TLS: {reason}") from error
            raise AbsentError(f"{url}: {reason}") from error
        except OSError as error:
            raise AbsentError(f"{url}: {error or 'timed out'}") from error
        except ValueError as error:
            raise FailedError(f"{url}: the answer to {method} {path} is not JSON: {error}") from error

    def first(self, path: str, *, patience: float = 0, sleep: Callable[[float], None] = time.sleep) -> tuple[str, Any]:
        """GET from the members in turn; return the first that answers, and its answer.

        patience: seconds for which a cluster that gives no answer is asked again. Raises UnavailableError after that.
        """
        deadline = time.monotonic() + patience
        while True:
            errors: list[AbsentError | FailedError] = []
            for url in self.urls:
                try:
                    return url, self.request(url, path)
                except (AbsentError, FailedError) as error:
                    errors.append(error)
            if time.monotonic() >= deadline:
                absent = all(isinstance(error, AbsentError) for error in errors)
                raise UnavailableError([str(error) for error in errors], absent=absent)
            sleep(1)


def _explain(status: int, text: str, method: str) -> str:
    """Say in words what an HTTP status of Patroni means."""
    known = {
        401: "wrong user name or password",
        403: "this client may not do that (client certificate or allow list)",
        409: "somebody else changed the configuration at the same moment",
        502: "the cluster has no dynamic configuration yet: it is not initialized, or its store does not answer",
        503: "the dynamic configuration is gone from the store",
    }
    # What Patroni says of an action (POST) it says in words of its own.
    reason = (method == "POST" and text) or known.get(status) or text or "no reason given"
    return f"HTTP {status}: {reason}"
