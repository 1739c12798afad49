# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import (
    Wanted,
    check_authority,
    make_root,
    needs_issue,
    sign,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError
from ansible_collections.holdfast.platform.plugins.plugin_utils._site_ca import authority_of, fill_authority

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ALL = ["intermediate_certificate", "intermediate_key", "root_certificate", "root_key"]


def made() -> dict[str, Secret]:
    held: dict[str, Secret] = {}
    assert fill_authority(held, "lab", NOW) == ALL
    return held


COMPLETE = made()


@pytest.mark.parametrize(
    ("gone", "remade"),
    [
        (set(), []),
        ({"root_key"}, []),  # offline
        (set(ALL), ALL),
        ({"intermediate_key"}, ALL[:2]),
        ({"intermediate_certificate"}, ALL[:2]),
        ({"intermediate_certificate", "intermediate_key"}, ALL[:2]),
    ],
)
def test_fill_authority(gone: set[str], remade: list[str]) -> None:
    held = {name: secret for name, secret in COMPLETE.items() if name not in gone}
    kept = dict(held)
    assert fill_authority(held, "lab", NOW) == remade
    assert all(held[name] == secret for name, secret in kept.items() if name not in remade)
    authority = authority_of(held)
    assert authority is not None
    check_authority(authority, NOW)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ({"root_certificate"}, "pki/root_certificate: is missing, but other parts of the CA are there"),
        ({"root_certificate", "intermediate_key"}, "pki/root_certificate: is missing"),
        ({"root_key", "intermediate_key"}, "pki/root_key: is offline, and the intermediate has to be made"),
    ],
)
def test_what_cant_be_mended(gone: set[str], said: str) -> None:
    held = {name: secret for name, secret in COMPLETE.items() if name not in gone}
    kept = dict(held)
    with pytest.raises(SecretsError) as error:
        fill_authority(held, "lab", NOW)
    assert str(error.value).startswith(said)
    assert held == kept


def test_parts_that_dont_fit() -> None:
    held = {**COMPLETE, "intermediate_key": made()["intermediate_key"]}
    with pytest.raises(SecretsError, match="pki/intermediate_key: does not belong to pki/intermediate_certificate"):
        fill_authority(held, "lab", NOW)
    with pytest.raises(SecretsError, match="is valid from"):
        fill_authority(dict(COMPLETE), "lab", NOW + timedelta(days=2000))


def test_every_version_of_the_root_is_trusted() -> None:
    other = make_root("new", NOW).certificate
    held = {**COMPLETE, "root_certificate": replace(COMPLETE["root_certificate"], next=other)}
    authority = authority_of(held)
    assert authority is not None
    assert authority.roots == (COMPLETE["root_certificate"].current, other)


def test_an_authority_that_the_site_brings(tmp_path: Path) -> None:
    """Made with openssl, RSA keys, and stored as a person would write it: nothing is made, and it signs."""
    script = """
    set -e; cd "$1"; umask 077
    openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -days 30 -subj "/CN=Corporate" 2>&1
    printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >ext
    openssl req -newkey rsa:2048 -nodes -keyout sub.key -out sub.csr -subj "/CN=Site" 2>&1
    openssl x509 -req -in sub.csr -CA root.crt -CAkey root.key -set_serial 7 -days 20 -extfile ext -out sub.crt 2>&1
    """
    subprocess.run(["sh", "-c", script, "sh", tmp_path], check=True, capture_output=True)
    files = {"root_certificate": "root.crt", "intermediate_certificate": "sub.crt", "intermediate_key": "sub.key"}
    held = {name: Secret.of({"current": (tmp_path / file).read_text()}, name) for name, file in files.items()}
    now = datetime.now(UTC)
    assert fill_authority(held, "lab", now) == []
    authority = authority_of(held)
    assert authority is not None
    wanted = Wanted(("db1.lab.internal",), ("server",), timedelta(days=90))
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    chain = sign(request.public_bytes(Encoding.PEM).decode(), authority, wanted, now)
    file = tmp_path / "chain"
    file.write_text(chain)
    verify: list[str | Path] = ["openssl", "verify", "-CAfile", tmp_path / "root.crt", "-untrusted", file, file]
    subprocess.run(verify, check=True, capture_output=True)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert needs_issue(chain, public, authority, wanted, now) is None


def test_no_authority_yet() -> None:
    assert authority_of({}) is None
    assert authority_of({"root_certificate": COMPLETE["root_certificate"]}) is None
