# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    check_name,
    fill,
    generate,
    missing,
    placeholder,
    split_path,
    ssh_private_key,
    ssh_public_key,
)

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
OLD = Secret(current="kept", created="2026-01-01T00:00:00Z", policy=Policy())


@pytest.mark.parametrize(
    ("policy", "letters", "length"),
    [
        (Policy(), "alnum", 32),
        (Policy(length=8), "alnum", 8),
        (Policy(length=4096), "alnum", 4096),
        (Policy(length=64, alphabet="hex"), "hex", 64),
        (Policy(length=32, alphabet="base64"), "base64", 44),
    ],
)
@pytest.mark.parametrize("make", [generate, lambda policy: placeholder("etcd/root", policy)])
def test_shape_of_values(make: Any, policy: Policy, letters: str, length: int) -> None:
    value = make(policy)
    assert len(value) == length
    if letters == "base64":
        assert len(base64.b64decode(value, validate=True)) == policy.length
    else:
        assert value.isascii()
        assert value.isalnum()
        assert letters == "alnum" or set(value) <= set("0123456789abcdef")


def test_generated_values_differ() -> None:
    assert len({generate(Policy()) for _ in range(100)}) == 100


def test_placeholder_is_the_same_within_a_run_and_only_there() -> None:
    one = placeholder("etcd/root", Policy())
    assert one == placeholder("etcd/root", Policy())
    assert one != placeholder("etcd/other", Policy())
    assert one != placeholder("etcd/root", Policy(), key=b"another run")


# The first test vector of RFC 8032, section 7.1: seed and public key.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_the_public_part_of_an_ssh_key() -> None:
    private = ssh_private_key(SEED)
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert private.endswith("\n")
    kind, blob = ssh_public_key(private).split()
    assert (kind, base64.b64decode(blob)[-32:]) == ("ssh-ed25519", PUBLIC)


def test_ssh_keys_differ_and_a_placeholder_is_the_same_within_a_run() -> None:
    policy = Policy(kind="ssh_key")
    assert len({ssh_public_key(generate(policy)) for _ in range(10)}) == 10
    first, second = (ssh_public_key(placeholder("etcd/backup_ssh", policy)) for _ in range(2))
    assert first == second
    assert first != ssh_public_key(placeholder("postgresql/backup_ssh", policy))


def test_a_password_has_no_public_part() -> None:
    with pytest.raises(SecretsError, match="no private key of SSH"):
        ssh_public_key("hunter2")


@pytest.mark.parametrize("kind", ["ec_key", "ca"])
def test_keys_in_pem_differ_and_a_placeholder_is_the_same_within_a_run(kind: str) -> None:
    policy = Policy(kind=kind)
    assert len({_pki.public_part(generate(policy)) for _ in range(5)}) == 5
    first, second = (_pki.public_part(placeholder("kubernetes/ca", policy)) for _ in range(2))
    assert first == second
    assert first != _pki.public_part(placeholder("kubernetes/etcd_ca", policy))


def test_an_authority_of_a_program_signs_for_itself() -> None:
    values = [generate(Policy(kind="ca")) for _ in range(2)]
    certificate, other = (x509.load_pem_x509_certificates(value.encode())[0] for value in values)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert other.subject != certificate.subject


def test_an_ssh_key_s_policy_is_kept_without_what_means_nothing_to_it() -> None:
    policy = Policy(kind="ssh_key", lifetime="90d")
    assert policy.as_data() == {"kind": "ssh_key", "rotation": "replace", "lifetime": "90d"}
    assert Policy.of(policy.as_data(), "here") == policy


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"lenght": 32}, "unknown key 'lenght'; known are length, alphabet, lifetime, rotation, kind"),
        ({"kind": "gpg_key"}, "kind is 'gpg_key', it has to be one of text, ssh_key"),
        ({"length": 7}, "length is 7, it has to be a number from 8 to 4096"),
        ({"length": "32"}, "length is '32'"),
        ({"length": True}, "length is True"),
        ({"alphabet": "words"}, "alphabet is 'words', it has to be one of alnum, hex, base64"),
        ({"rotation": "never"}, "rotation is 'never', it has to be one of replace, dual, alternate, none"),
        ({"lifetime": "90"}, "lifetime: '90' is not a span of time"),
    ],
)
def test_policy_errors(data: dict[str, Any], said: str) -> None:
    with pytest.raises(SecretsError) as error:
        Policy.of(data, "extra.shop.key")
    assert str(error.value).startswith("extra.shop.key: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "secret",
    [
        Secret(current="a", created="2026-01-01T00:00:00Z"),
        Secret(current="a", created="2026-01-01T00:00:00Z", policy=Policy(length=8, alphabet="hex", lifetime="90d")),
        Secret(current="b", previous="a", next="c", created="x", policy=Policy(rotation="alternate")),
    ],
)
def test_secret_survives_a_file(secret: Secret) -> None:
    assert Secret.of(secret.as_data(), "x") == secret


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("hunter2", "is not a mapping"),
        ({"created": "hunter2"}, "root.current: has to be a text"),
        ({"current": ""}, "root.current: has to be a text"),
        ({"current": 5}, "root.current: has to be a text"),
        ({"current": "hunter2", "previous": ["hunter2"]}, "root.previous: has to be a text"),
        ({"current": "hunter2", "length": 1}, "length is 1"),
    ],
)
def test_entry_errors_hold_no_value(data: Any, said: str) -> None:
    with pytest.raises(SecretsError) as error:
        Secret.of(data, "secrets/etcd.yml: root")
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


def test_repr_holds_no_value() -> None:
    assert "hunter2" not in repr(Secret(current="hunter2", previous="hunter2", next="hunter2", created="x"))


@pytest.mark.parametrize("name", ["etcd", "a", "pg_rewind2"])
def test_good_names(name: str) -> None:
    assert check_name("a secret", name) == name


@pytest.mark.parametrize("name", ["", "A", "9a", "../etc", "a/b", "a.yml", "a-b", "_a", "a" * 64, "a\n", None, 5])
def test_bad_names(name: Any) -> None:
    with pytest.raises(SecretsError, match="can't name a secret"):
        check_name("a secret", name)


def test_split_path() -> None:
    assert split_path("etcd/root") == ("etcd", "root")
    for path in ("etcd", "etcd/", "/root", "etcd/root/x", "../root"):
        with pytest.raises(SecretsError):
            split_path(path)


@pytest.mark.parametrize(
    ("present", "declared", "made"),
    [
        ({}, {}, []),
        ({}, {"b": Policy(), "a": Policy()}, ["a", "b"]),
        ({"a": OLD}, {"a": Policy()}, []),
        ({"a": OLD}, {"a": Policy(), "b": Policy(rotation="alternate")}, ["b"]),
        ({"gone": OLD}, {"a": Policy()}, ["a"]),
    ],
)
def test_fill(present: dict[str, Secret], declared: dict[str, Policy], made: list[str]) -> None:
    held = dict(present)
    assert missing(held, declared) == made
    assert fill(held, declared, NOW) == made
    assert held.keys() == {*present, *made}
    assert all(held[name] == secret for name, secret in present.items())
    for name in made:
        assert held[name].created == "2026-11-21T09:00:00Z"
        assert held[name].policy == declared[name]
        assert held[name].versions() == [held[name].current]
    assert fill(held, declared, NOW) == []


def test_a_new_policy_keeps_the_value() -> None:
    held = {"a": OLD}
    assert fill(held, {"a": Policy(length=64)}, NOW) == []
    assert held["a"].current == "kept"
    assert held["a"].policy == Policy(length=64)
