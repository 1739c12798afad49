# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which key signed a token, and who has one of a key that leaves."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_tokens
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import Clock

PUBLIC = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""


def token(kid: str, subject: str = "system:serviceaccount:shop:default") -> str:
    parts = [json.dumps(one).encode() for one in ({"alg": "ES256", "kid": kid}, {"sub": subject})]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2ln"])


def test_a_key_is_called_by_the_hash_of_its_der_form() -> None:
    # openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | basenc --base64url
    assert _kube_tokens.identity(PUBLIC) == "pA8PLil03HaoLfb_4I7Q15lVx5560MINl66Pkkat4cE"


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(Failed, match="has to be PEM"):
        _kube_tokens.identity("none")


@pytest.mark.parametrize(
    ("text", "signer"),
    [
        (token("k1"), "k1"),
        (token("k1") + "\n", "k1"),
        (token("k1", subject="somebody"), ""),
        ("not.a.token", ""),
        ("a certificate", ""),
    ],
)
def test_signer(text: str, signer: str) -> None:
    assert _kube_tokens.signer(text) == signer


def volume(root: Path, pod: str, text: str, age: float = 0) -> None:
    place = root / pod / "volumes/kubernetes.io~projected/kube-api-access-x"
    place.mkdir(parents=True, exist_ok=True)
    (place / "token").write_text(text)
    moment = (place / "token").stat().st_mtime - age
    os.utime(place / "token", (moment, moment))
    (place / "ca.crt").write_text("a certificate")


def test_pods_that_have_a_token_of_a_key_that_leaves(tmp_path: Path) -> None:
    volume(tmp_path, "one", token("old"))
    volume(tmp_path, "two", token("new"))
    assert _kube_tokens.held(["old"], tmp_path) == ["one"]
    assert _kube_tokens.held(["older"], tmp_path) == []


def stopped() -> Clock:
    moments = iter(range(1000))
    return Clock(lambda: float(next(moments)), lambda _: None)


@pytest.mark.parametrize(
    ("key", "age", "reason"),
    [
        ("old", 500, "pods one have tokens that the old key signed"),
        ("new", 10, "programs may not have read"),
        ("new", 500, ""),
    ],
)
def test_it_waits_until_new_tokens_have_been_read(tmp_path: Path, key: str, age: float, reason: str) -> None:
    volume(tmp_path, "one", token(key), age)
    if reason:
        with pytest.raises(Failed, match=reason):
            _kube_tokens.wait(["old"], 5, tmp_path, stopped())
    else:
        _kube_tokens.wait(["old"], 5, tmp_path, stopped())


class Api:
    """Secrets, with a controller manager that makes a token where there is none."""

    def __init__(self, *keys: str) -> None:
        self.secrets = [
            {"metadata": {"namespace": "shop", "name": key}, "data": {"token": self.encoded(key)}} for key in keys
        ]

    @staticmethod
    def encoded(key: str) -> str:
        return base64.b64encode(token(key).encode()).decode()

    def items(self, _path: str, **_query: str) -> list[dict[str, Any]]:
        return self.secrets

    def request(self, _method: str, path: str, change: dict[str, Any], _type: str) -> None:
        assert change == {"data": {"token": None}}
        name = path.rpartition("/")[2]
        for one in self.secrets:
            if one["metadata"]["name"] == name:
                one["data"]["token"] = self.encoded("new")


def test_tokens_in_secrets_are_made_anew_when_the_old_key_signed_them() -> None:
    api: Any = Api("old", "new")
    assert _kube_tokens.reissue(api, ["old"], 5, check=True) == ["shop/secrets/old"]
    assert _kube_tokens.reissue(api, ["old"], 5, check=False) == ["shop/secrets/old"]
    assert _kube_tokens.reissue(api, ["old"], 5, check=False) == []
