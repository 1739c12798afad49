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
from ansible_collections.holdfast.platform.plugins.plugin_utils._rotation import Run, abort, begin, close, enter, finish
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError
from ansible_collections.holdfast.platform.plugins.plugin_utils._site_ca import (
    POLICY,
    authority_of,
    fill_authority,
    parts,
    renewed,
)

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
    held = {**COMPLETE, "root_certificate": replace(COMPLETE["root_certificate"], next=other, retired="gone")}
    authority = authority_of(held)
    assert authority is not None
    assert authority.roots == (COMPLETE["root_certificate"].current, other)


def test_the_order_of_the_roots_does_not_change_when_they_change_places() -> None:
    """Otherwise who reads them once would be restarted for nothing."""
    old, new = make_root("old", NOW).certificate, make_root("new", NOW + timedelta(days=1)).certificate
    before, after = (
        authority_of({**COMPLETE, "root_certificate": replace(COMPLETE["root_certificate"], **versions)})
        for versions in ({"current": old, "next": new}, {"current": new, "previous": old})
    )
    assert before is not None
    assert after is not None
    assert before.bundle == after.bundle == old + new


SITE = {f"pki/{name}": secret for name, secret in COMPLETE.items()} | {"etcd/root": Secret("x", "")}
RUN = Run("me", NOW)
PARTS = {
    "pki/ca": ["pki/root_certificate", "pki/root_key", "pki/intermediate_certificate", "pki/intermediate_key"],
    "pki/intermediate": ["pki/intermediate_certificate", "pki/intermediate_key"],
}


def rotated(held: dict[str, Secret], path: str, *phases: str) -> dict[str, Secret]:
    """All secrets after the rotation of the CA has come through these phases."""
    held = dict(held)
    for name, value in renewed(held, parts(held, path), "lab", NOW).items():
        held[name] = begin(name, held[name], value, "r", RUN)
    for phase in phases:
        for name in PARTS[path]:
            held[name] = finish(name, enter(name, held[name], phase, RUN), phase, RUN)
    return held


def ca(held: dict[str, Secret], version: str = "current") -> tuple[str, int] | None:
    """Which intermediate a version of the CA has, and how many roots are trusted; it can sign."""
    authority = authority_of({name.partition("/")[2]: secret for name, secret in held.items()}, version)
    if authority is None:
        return None
    check_authority(authority, NOW)
    return authority.intermediate.certificate, len(authority.roots)


@pytest.mark.parametrize(("path", "roots"), [("pki/ca", 2), ("pki/intermediate", 1)])
def test_a_rotation_of_the_ca(path: str, roots: int) -> None:
    old = COMPLETE["intermediate_certificate"].current
    added = rotated(SITE, path, "added", "verified")
    assert ca(added) == (old, roots)
    new = ca(added, "next")
    assert new is not None
    assert new[0] != old
    switched = rotated(SITE, path, "added", "verified", "switched", "drained")
    assert ca(switched, "retired") is None
    made, trusted = ca(switched) or ("", 0)
    assert made != old
    assert trusted == roots
    retired = {
        name: enter(name, secret, "retired", RUN) if name in PARTS[path] else secret
        for name, secret in switched.items()
    }
    assert ca(retired) == (made, 1)
    assert (ca(retired, "retired") or ("", 0))[0] == old
    for name in PARTS[path]:
        done = close(name, finish(name, retired[name], "retired", RUN), RUN)
        assert (done.versions(), done.journal, done.policy) == ([switched[name].current], None, POLICY)


@pytest.mark.parametrize("phases", [("added",), ("added", "verified", "switched")])
def test_an_abort_goes_back_to_the_old_ca(phases: tuple[str, ...]) -> None:
    held = rotated(SITE, "pki/ca", *phases)
    for name in PARTS["pki/ca"]:
        held[name] = abort(name, held[name], RUN)
    assert (ca(held) or ("", 0))[0] == COMPLETE["intermediate_certificate"].current


@pytest.mark.parametrize(
    ("held", "path", "found"),
    [
        (SITE, "pki/ca", PARTS["pki/ca"]),
        (SITE, "pki/intermediate", PARTS["pki/intermediate"]),
        (
            {name: secret for name, secret in SITE.items() if name != "pki/root_key"},
            "pki/ca",
            PARTS["pki/ca"][:1] + PARTS["pki/ca"][2:],
        ),
        (SITE, "etcd/root", ["etcd/root"]),
        (SITE, "pki/root_key", ["pki/root_key"]),
        ({}, "pki/ca", ["pki/ca"]),
        (rotated(SITE, "pki/intermediate"), "pki/intermediate", PARTS["pki/intermediate"]),
    ],
)
def test_what_a_person_means(held: dict[str, Secret], path: str, found: list[str]) -> None:
    assert parts(held, path) == found


def test_two_rotations_of_the_ca_at_once() -> None:
    with pytest.raises(SecretsError, match=r"pki/ca: a rotation of pki/intermediate_certificate, .* is under way"):
        parts(rotated(SITE, "pki/intermediate"), "pki/ca")


CA = {name: secret for name, secret in SITE.items() if name.startswith("pki/")}
OFFLINE = {name: secret for name, secret in SITE.items() if name != "pki/root_key"}


@pytest.mark.parametrize(
    ("held", "path", "said"),
    [
        (OFFLINE, "pki/intermediate", "pki/root_key: is offline, and signs the new intermediate; put it back"),
        (OFFLINE, "pki/ca", "pki/root_key: is offline, so the new one would have no old one to go back to"),
        (
            SITE | {"pki/root_key": replace(SITE["pki/root_key"], current="gone")},
            "pki/intermediate",
            "pki/root_key: can't be read as a private key",
        ),
        (
            OFFLINE | {"pki/root_certificate": replace(SITE["pki/root_certificate"], next="x")},
            "pki/ca",
            "pki/intermediate_certificate.next: is missing, but root_certificate have one",
        ),
        (
            {name: replace(secret, next=made()[name.partition("/")[2]].current) for name, secret in CA.items()},
            "pki/ca",
            "pki/intermediate_key: does not belong to",
        ),
    ],
)
def test_what_cant_be_renewed(held: dict[str, Secret], path: str, said: str) -> None:
    with pytest.raises(SecretsError) as error:
        renewed(held, parts(held, path), "lab", NOW)
    assert str(error.value).startswith(said)


def test_a_lost_root_key_is_no_obstacle_to_another_ca() -> None:
    held = SITE | {"pki/root_key": replace(SITE["pki/root_key"], current="gone")}
    assert set(renewed(held, parts(held, "pki/ca"), "lab", NOW)) == set(PARTS["pki/ca"])


def test_another_ca_that_a_person_brings() -> None:
    brought = {f"pki/{name}": secret.current for name, secret in made().items()}
    held = {name: replace(secret, next=brought.get(name)) for name, secret in OFFLINE.items()}
    names = parts(held, "pki/ca")
    assert renewed(held, names, "lab", NOW) == {name: brought[name] for name in names}


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
