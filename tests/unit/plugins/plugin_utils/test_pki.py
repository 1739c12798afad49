# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import (
    BACKDATE,
    Authority,
    Pair,
    PkiError,
    Wanted,
    certificate_due,
    check_authority,
    facts,
    host_names,
    make_intermediate,
    make_root,
    needs_issue,
    request_public_key,
    sign,
)

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("data-a1.lab.internal", "data-a1", "10.77.1.11", "localhost", "127.0.0.1")
WANTED = Wanted(names=NAMES, usage=("server", "client"), lifetime=90 * DAY)


def make_authority(site: str) -> Authority:
    root = make_root(site, NOW)
    return Authority(make_intermediate(site, root, NOW), (root.certificate,))


OURS, OTHER = make_authority("lab"), make_authority("other")


@cache
def key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request(number: int = 0) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    # What a host asks for beside its key has to be ignored.
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("bank.example.org")]), critical=False)
    return builder.sign(key(number), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def public(number: int = 0) -> str:
    return key(number).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def issued(at: datetime = NOW, number: int = 0, by: Authority = OURS, **changed: Any) -> str:
    return sign(request(number), by, Wanted(**{**vars(WANTED), **changed}), at)


def leaf_only() -> str:
    return issued().partition("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"


TWO_THIRDS = NOW + 60 * DAY


@pytest.mark.parametrize(
    ("chain", "now", "reason"),
    [
        (issued(), NOW, None),
        (issued(), NOW - timedelta(minutes=4), None),  # another controller, whose clock is behind
        (issued(), TWO_THIRDS - timedelta(seconds=1), None),
        (issued(names=tuple(reversed(NAMES))), NOW, None),
        (issued(usage=("client", "server")), NOW, None),
        (issued(lifetime=30 * DAY), NOW, None),  # a longer life comes with the next renewal
        (None, NOW, "missing"),
        ("", NOW, "unreadable"),
        (issued()[:200], NOW, "unreadable"),
        (issued().replace("M", "\ufffd"), NOW, "unreadable"),
        (OURS.intermediate.certificate, NOW, "unreadable"),  # a certificate, but not of a host
        (issued(number=1), NOW, "made for another key"),
        (issued(by=OTHER), NOW, "issued by another CA"),
        (leaf_only(), NOW, "issued by another CA"),
        (leaf_only() + OTHER.intermediate.certificate, NOW, "issued by another CA"),
        (issued(NOW + DAY), NOW, "not valid yet"),
        (issued(), TWO_THIRDS, "two thirds of its life are over"),
        (issued(), NOW + 89 * DAY, "two thirds of its life are over"),
        (issued(), NOW + 90 * DAY, "expired"),
        (issued(), NOW + 900 * DAY, "expired"),
        (issued(names=NAMES[:2]), NOW, "lacks the names 10.77.1.11, 127.0.0.1, localhost"),
        (issued(names=(*NAMES, "old")), NOW, "has names that are not wanted: old"),
        (issued(usage=("client",)), NOW, "usage is client, wanted is client, server"),
        (issued(lifetime=91 * DAY), NOW, "lives longer than wanted"),
    ],
)
def test_needs_issue(chain: str | None, now: datetime, reason: str | None) -> None:
    assert needs_issue(chain, public(), OURS, WANTED, now) == reason


def test_an_issued_certificate_is_what_was_wanted() -> None:
    chain = x509.load_pem_x509_certificates(issued().encode())
    leaf, intermediate = chain
    extensions = leaf.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["data-a1.lab.internal", "data-a1", "localhost"]
    assert [str(a) for a in names.value.get_values_for_type(x509.IPAddress)] == ["10.77.1.11", "127.0.0.1"]
    assert names.critical is False
    assert leaf.subject.rfc4514_string() == "OU=data-a1.lab.internal"
    assert leaf.not_valid_before_utc == NOW - BACKDATE
    assert leaf.not_valid_after_utc == NOW + 90 * DAY
    assert 0 < leaf.serial_number < 1 << 159  # RFC 5280, section 4.1.2.2: positive, at most 20 octets
    assert leaf.issuer == intermediate.subject
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign


def test_serials_differ() -> None:
    assert len({facts(issued())["serial"] for _ in range(20)}) == 20


def test_a_certificate_without_a_name_that_fits_has_no_subject_and_critical_names() -> None:
    long = "a" * 60 + ".lab.internal"
    leaf = x509.load_pem_x509_certificates(issued(names=(long, "10.0.0.1")).encode())[0]
    assert leaf.subject.rfc4514_string() == ""
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical  # RFC 5280, section 4.2.1.6


def test_a_leaf_ends_with_the_intermediate() -> None:
    end = x509.load_pem_x509_certificate(OURS.intermediate.certificate.encode()).not_valid_after_utc
    leaf = x509.load_pem_x509_certificates(issued(end - 10 * DAY).encode())[0]
    assert leaf.not_valid_after_utc == end


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    body = x509.load_pem_x509_csr(request().encode()).public_bytes(Encoding.DER)
    own, other = (
        key(number).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for number in (0, 1)
    )
    forged = x509.load_der_x509_csr(body.replace(own, other)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(PkiError, match="not signed by its own key"):
        sign(forged, OURS, WANTED, NOW)
    for text in ("", "nothing", request()[:100]):
        with pytest.raises(PkiError, match="request can't be read"):
            sign(text, OURS, WANTED, NOW)
        with pytest.raises(PkiError, match="request can't be read"):
            request_public_key(text)


def test_openssl_accepts_the_chain(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(OURS.bundle)
    (tmp_path / "leaf.crt").write_text(issued())
    at = str(int(NOW.timestamp()))
    common: list[str | Path] = ["openssl", "verify", "-x509_strict", "-attime", at, "-CAfile", tmp_path / "ca.crt"]
    leaf = tmp_path / "leaf.crt"
    for purpose in ("sslserver", "sslclient"):
        done = subprocess.run(
            [*common, "-purpose", purpose, "-verify_hostname", "data-a1", "-untrusted", leaf, leaf],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    # Path length: an intermediate can't make another CA.
    rogue = make_intermediate("rogue", OURS.intermediate, NOW)
    below = Authority(rogue, OURS.roots)
    (tmp_path / "rogue.crt").write_text(sign(request(), below, WANTED, NOW))
    (tmp_path / "all.crt").write_text((tmp_path / "rogue.crt").read_text() + OURS.intermediate.certificate)
    done = subprocess.run(
        [*common, "-untrusted", tmp_path / "all.crt", tmp_path / "rogue.crt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "path length constraint exceeded" in done.stderr


def test_the_authority() -> None:
    root = x509.load_pem_x509_certificate(OURS.roots[0].encode())
    assert root.subject.rfc4514_string() == "CN=lab root CA"
    assert root.not_valid_after_utc == NOW + timedelta(days=3650)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 1
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    intermediate = x509.load_pem_x509_certificate(OURS.intermediate.certificate.encode())
    assert intermediate.subject.rfc4514_string() == "CN=lab intermediate CA"
    assert intermediate.not_valid_after_utc == NOW + timedelta(days=1825)
    assert intermediate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    check_authority(OURS, NOW)


def test_an_intermediate_ends_with_its_root() -> None:
    root = make_root("lab", NOW)
    late = make_intermediate("lab", root, NOW + timedelta(days=3000))
    assert x509.load_pem_x509_certificate(late.certificate.encode()).not_valid_after_utc == NOW + timedelta(days=3650)


@pytest.mark.parametrize(
    ("authority", "now", "said"),
    [
        (Authority(OURS.intermediate, OTHER.roots), NOW, "intermediate_certificate: is not signed by pki/root"),
        (
            Authority(Pair(OURS.intermediate.certificate, OTHER.intermediate.key), OURS.roots),
            NOW,
            "does not belong to",
        ),
        (
            Authority(Pair("x", OURS.intermediate.key), OURS.roots),
            NOW,
            "intermediate_certificate: can't be read",
        ),
        (
            Authority(Pair(OURS.intermediate.certificate, "x"), OURS.roots),
            NOW,
            "intermediate_key: can't be read",
        ),
        (Authority(OURS.intermediate, ("x",)), NOW, "root_certificate: can't be read"),
        (
            OURS,
            NOW + timedelta(days=1826),
            "intermediate_certificate: is valid from 2026-11-21 to 2031-11-20",
        ),
        (OURS, NOW - timedelta(days=1), "root_certificate: is valid from"),
    ],
)
def test_an_authority_that_cant_sign(authority: Authority, now: datetime, said: str) -> None:
    with pytest.raises(PkiError) as error:
        check_authority(authority, now)
    assert said in str(error.value)
    assert "PRIVATE" not in str(error.value)


def test_due() -> None:
    pem = OURS.intermediate.certificate
    assert not certificate_due(pem, NOW + timedelta(days=1216))
    assert certificate_due(pem, NOW + timedelta(days=1217))


def test_a_bundle_of_two_roots() -> None:
    both = Authority(OURS.intermediate, (OURS.roots[0].rstrip("\n"), *OTHER.roots))
    assert len(x509.load_pem_x509_certificates(both.bundle.encode())) == 2


def test_repr_holds_no_key() -> None:
    assert "PRIVATE" not in repr(OURS)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("data-a1", "lab.internal", "10.77.1.11"), ("data-a1.lab.internal", "data-a1", "10.77.1.11")),
        (("db1.north.example.org", "lab.internal", None), ("db1.north.example.org", "db1")),
        (("db1", None, None), ("db1",)),
        (("DB1", "Lab.Internal", None, ("postgresql",)), ("db1.lab.internal", "db1", "postgresql.lab.internal")),
        (("db1", "lab", None, ("sql.example.org", "db1")), ("db1.lab", "db1", "sql.example.org")),
        (("localhost", None, "127.0.0.1"), ()),
    ],
)
def test_host_names(arguments: tuple[Any, ...], names: tuple[str, ...]) -> None:
    made = host_names(*arguments)
    assert set(made) == {*names, "localhost", "127.0.0.1"}
    assert made[: len(names)] == names
    assert len(made) == len(set(made))
