# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's certificate authority, and the decision when a host's certificate has to be issued.

Pure: no files, no network. Profiles follow RFC 5280; times are in UTC; keys and certificates are PEM text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEAR = timedelta(days=365)
ROOT_LIFE = 10 * YEAR
INTERMEDIATE_LIFE = 5 * YEAR

# A host whose clock is a little behind the controller's accepts the certificate at once.
BACKDATE = timedelta(minutes=5)

USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}

# X.520 upper bound of a common name (RFC 5280, appendix A.1, ub-common-name).
MAX_COMMON_NAME = 64


# What may sign. The CA that is made here has elliptic curve keys; one that a site brings may have RSA keys.
CaKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class PkiError(Exception):
    """Something about the CA or a request that a person has to put right; the text never holds a key."""


@dataclass(frozen=True)
class Pair:
    """A CA certificate and its key, both PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Authority:
    """What signs and what is trusted.

    intermediate: signs leaves. roots: PEM of every root that hosts trust, the one that signed the intermediate first;
    more than one while the CA is being rotated.
    """

    intermediate: Pair
    roots: tuple[str, ...]

    @property
    def bundle(self) -> str:
        """The trusted roots as one file, the oldest first: which of them signs is no change of it."""
        if len(self.roots) == 1:
            return _with_newline(self.roots[0])
        ages = {root: _load(root, "root").not_valid_before_utc for root in self.roots}
        return "".join(_with_newline(root) for root in sorted(ages, key=lambda root: (ages[root], root)))


@dataclass(frozen=True)
class Wanted:
    """The certificate that a host should have.

    names: DNS names and IP addresses, all of them subject alternative names. usage: `server`, `client` or both.
    lifetime: how long a new one is valid.
    """

    names: tuple[str, ...]
    usage: tuple[str, ...]
    lifetime: timedelta


def make_root(site: str, now: datetime) -> Pair:
    """A self-signed root for a site: P-384, one CA below it at most."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = _ca_name(site, "root")
    certificate = _ca(name, name, key.public_key(), key, path_length=1, now=now, end=now + ROOT_LIFE)
    return Pair(_pem(certificate), _key_pem(key))


def make_intermediate(site: str, root: Pair, now: datetime) -> Pair:
    """An intermediate under the root: P-256, signs leaves only, ends no later than the root."""
    root_certificate, root_key = _load_ca(root, "root")
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + INTERMEDIATE_LIFE, root_certificate.not_valid_after_utc)
    name = _ca_name(site, "intermediate")
    certificate = _ca(name, root_certificate.subject, key.public_key(), root_key, path_length=0, now=now, end=end)
    return Pair(_pem(certificate), _key_pem(key))


def own_certificate(key: ec.EllipticCurvePrivateKey, now: datetime | None = None) -> str:
    """A certificate that a key signs for itself, as the authority of one program: ten years, leaves only.

    Its name tells the key, so that two of them are never taken for one another.
    """
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ca-{identifier[:16]}")])
    now = now or datetime.now(UTC)
    return _pem(_ca(name, name, key.public_key(), key, path_length=0, now=now, end=now + ROOT_LIFE))


def public_part(private: str) -> str:
    """The public part (PEM, SPKI) of a private key in PEM. Raises PkiError when it is none."""
    try:
        key = load_pem_private_key(private.encode(), None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"the value is no private key in PEM form: {error}") from error
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def check_authority(authority: Authority, now: datetime) -> None:
    """Raise PkiError when the intermediate can't sign today: key mismatch, not signed by the root, out of its life."""
    intermediate, _ = _load_ca(authority.intermediate, "intermediate")
    root = _load(authority.roots[0], "root")
    try:
        intermediate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise PkiError("pki/intermediate_certificate: is not signed by pki/root_certificate") from error
    for name, certificate in (("root", root), ("intermediate", intermediate)):
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise PkiError(
                f"pki/{name}_certificate: is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d}, and now is {now:%Y-%m-%d %H:%M} UTC"
            )


def certificate_due(pem: str, now: datetime) -> bool:
    """Whether two thirds of a certificate's life are over."""
    certificate = _load(pem, "certificate")
    return now >= _renew_at(certificate)


def needs_issue(chain: str | None, public_key: str, authority: Authority, wanted: Wanted, now: datetime) -> str | None:
    """The reason why a host's certificate has to be issued, or None when what it has will do.

    chain: the host's file, leaf first, or None when it is missing. public_key: of the host's key, PEM (SPKI).
    """
    if chain is None:
        return "missing"
    try:
        leaf, *above = x509.load_pem_x509_certificates(chain.encode())
        names, usage = _names_of(leaf), _usage_of(leaf)
    except (ValueError, x509.ExtensionNotFound):
        return "unreadable"
    if _public_pem(leaf) != public_key.strip():
        return "made for another key"
    if [_pem(certificate) for certificate in above] != [_normal(authority.intermediate.certificate)] or not _issued(
        leaf, above[0]
    ):
        return "issued by another CA"
    if now < leaf.not_valid_before_utc:
        return "not valid yet"
    if now >= leaf.not_valid_after_utc:
        return "expired"
    if reason := _difference(set(wanted.names), names):
        return reason
    if usage != set(wanted.usage):
        return f"usage is {_listed(usage)}, wanted is {_listed(wanted.usage)}"
    if leaf.not_valid_after_utc - leaf.not_valid_before_utc - BACKDATE > wanted.lifetime:
        return "lives longer than wanted"
    if now >= _renew_at(leaf):
        return "two thirds of its life are over"
    return None


def sign(request: str, authority: Authority, wanted: Wanted, now: datetime) -> str:
    """Issue a certificate for a request (PKCS #10) and return the chain: leaf, intermediate.

    Only the key of the request is used: a host can't ask for names. The leaf ends no later than the intermediate.
    Raises PkiError when the request's own signature is wrong: who sent it doesn't hold the key.
    """
    intermediate, key = _load_ca(authority.intermediate, "intermediate")
    try:
        csr = x509.load_pem_x509_csr(request.encode())
        valid = csr.is_signature_valid
    except ValueError as error:
        raise PkiError(f"the host's certificate request can't be read: {error}") from error
    if not valid:
        raise PkiError("the host's certificate request is not signed by its own key")
    start = now - BACKDATE
    label = [name for name in wanted.names if not _is_address(name) and len(name) <= MAX_COMMON_NAME][:1]
    public_key = csr.public_key()
    builder = (
        x509.CertificateBuilder()
        # For people only: verification goes by the alternative names (RFC 9525), critical when there is no subject.
        # Never a common name: services take it for the name of a user (etcd does, and refuses its own gateway then).
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, name) for name in label]))
        .issuer_name(intermediate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(start, intermediate.not_valid_before_utc))
        .not_valid_after(min(now + wanted.lifetime, intermediate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([USAGES[usage] for usage in wanted.usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(wanted.names)), critical=not label)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_authority_key_identifier(intermediate), critical=False)
    )
    return _pem(builder.sign(key, hashes.SHA256())) + _normal(authority.intermediate.certificate)


def probe(issuer: Pair, names: Sequence[str], now: datetime, life: timedelta) -> str:
    """A certificate for server and client with its issuer's and its key, to try with: PEM, the leaf first."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    wanted = Wanted(tuple(names), tuple(USAGES), life)
    return sign(_pem_request(request), Authority(issuer, ()), wanted, now) + _key_pem(key)


def request_public_key(request: str) -> str:
    """The public key (PEM, SPKI) of a request. Raises PkiError when it can't be read."""
    try:
        return _public_pem(x509.load_pem_x509_csr(request.encode()))
    except ValueError as error:
        raise PkiError(f"the host's certificate request can't be read: {error}") from error


def facts(chain: str) -> dict[str, str]:
    """End of validity (ISO 8601, UTC) and serial number (hex) of a chain's leaf."""
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    return {"not_after": leaf.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"), "serial": f"{leaf.serial_number:x}"}


def host_names(hostname: str, domain: str | None, address: str | None, extra: Iterable[str] = ()) -> tuple[str, ...]:
    """The alternative names of a member: full name, short name, extra names in the domain, address, localhost.

    hostname: as the inventory has it, short or full. The full name is the first, for it becomes the common name.
    """
    short = hostname.partition(".")[0]
    full = hostname if "." in hostname or not domain else f"{hostname}.{domain}"
    extras = [name if "." in name or not domain else f"{name}.{domain}" for name in extra]
    names = [full, short, *extras, *([address] if address else []), "localhost", "127.0.0.1"]
    return tuple(dict.fromkeys(name.lower() for name in names))


def _renew_at(certificate: x509.Certificate) -> datetime:
    start = certificate.not_valid_before_utc + BACKDATE
    return start + (certificate.not_valid_after_utc - start) * 2 / 3


def _difference(wanted: set[str], present: set[str]) -> str | None:
    if lacking := wanted - present:
        return f"lacks the names {_listed(lacking)}"
    if surplus := present - wanted:
        return f"has names that are not wanted: {_listed(surplus)}"
    return None


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "none"


def _issued(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _usage_of(certificate: x509.Certificate) -> set[str]:
    oids = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    words = {oid: word for word, oid in USAGES.items()}
    return {words.get(oid, oid.dotted_string) for oid in oids}


def _is_address(name: str) -> bool:
    return _address(name) is not None


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    return [x509.IPAddress(address) if (address := _address(name)) else x509.DNSName(name) for name in names]


def _ca_name(site: str, what: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{site} {what} CA"[-MAX_COMMON_NAME:])])


def _ca(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: CaKey,
    *,
    path_length: int,
    now: datetime,
    end: datetime,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA384())
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound as error:  # RFC 5280, section 4.2.1.2: a CA certificate has to have one
        raise PkiError("pki/intermediate_certificate: has no subject key identifier") from error
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load(pem: str, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise PkiError(f"pki/{what}_certificate: can't be read as a certificate") from error


def _load_ca(pair: Pair, what: str) -> tuple[x509.Certificate, CaKey]:
    certificate = _load(pair.certificate, what)
    try:
        key = load_pem_private_key(pair.key.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"pki/{what}_key: can't be read as a private key without a passphrase") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise PkiError(f"pki/{what}_key: has to be an elliptic curve or RSA key")
    if key.public_key() != certificate.public_key():
        raise PkiError(f"pki/{what}_key: does not belong to pki/{what}_certificate")
    return certificate, key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _pem_request(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(Encoding.PEM).decode()


def _normal(pem: str) -> str:
    return _pem(_load(pem, "intermediate"))


def _with_newline(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public_pem(holder: x509.Certificate | x509.CertificateSigningRequest) -> str:
    return holder.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()
