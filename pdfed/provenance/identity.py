# SPDX-License-Identifier: Apache-2.0
"""Signing keys of a node: its own CA, and an ES256 leaf certificate with the wallet's address as its common name.

C2PA does not allow a wallet's curve (secp256k1) for claims, so a wallet proof inside the manifest binds the leaf to the wallet.
Manifests carry no time stamp (that would need a server) and expire with their leaf, so leaves are valid for long and are
renewed long before they expire.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pdfed.atomic import OWNER_ONLY, write_atomic
from pdfed.provenance.provenance_errors import IdentityUnreadable

CA_YEARS, LEAF_YEARS = 40, 20
RENEW_YEARS = 10  # before a leaf expires: every signature can be verified for at least this long
_YEAR = datetime.timedelta(days=365)
_CLOCK_SKEW = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Keys:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def private_pem(self) -> bytes:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    @property
    def key_hash(self) -> bytes:
        """sha256 of the public key (SubjectPublicKeyInfo, DER), 32 bytes."""
        public = self.key.public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).digest()

    def expires_within(self, span: datetime.timedelta) -> bool:
        return self.certificate.not_valid_after_utc < _now() + span


class Identity:
    """A wallet's signing keys in a private folder: ca.pem and leaf.pem, each with key and certificate."""

    def __init__(self, folder: Path, wallet: str) -> None:
        self._folder, self.wallet = folder, wallet

    @classmethod
    def load_or_create(cls, folder: Path, wallet: str) -> Identity:
        """Load the identity in `folder` (0700; files 0600), or create it. Raises IdentityUnreadable."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        identity = cls(folder, wallet)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes starting in a new home, only one creates the keys
            identity.leaf()
        return identity

    @property
    def anchor(self) -> str:
        """PEM of the CA. Verifiers that trust it report this node's manifests as Trusted."""
        return self._ca().pem.decode()

    @property
    def chain(self) -> bytes:
        """PEM of leaf and CA, in the order that C2PA requires."""
        return self.leaf().pem + self._ca().pem

    def leaf(self) -> Keys:
        """Return the current signing keys. Replaces keys that expire soon, name another wallet or have another CA."""
        file = self._folder / "leaf.pem"
        ca = self._ca()
        if file.exists():
            keys = _read(file)
            issued = keys.certificate.issuer == ca.certificate.subject and _signed_by(keys.certificate, ca)
            if issued and _name(keys.certificate) == self.wallet and not keys.expires_within(RENEW_YEARS * _YEAR):
                return keys
        keys = _issue("PDFed participant", self.wallet, LEAF_YEARS, ca)
        _write(file, keys)
        return keys

    def _ca(self) -> Keys:
        """Return the CA. Issues a new one if the old would expire before its next leaf."""
        file = self._folder / "ca.pem"
        if file.exists():
            keys = _read(file)
            if not keys.expires_within(LEAF_YEARS * _YEAR):
                return keys
        keys = _issue("PDFed", f"PDFed node {os.urandom(4).hex()}", CA_YEARS, None)
        _write(file, keys)
        return keys


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _signed_by(certificate: x509.Certificate, ca: Keys) -> bool:
    try:
        certificate.verify_directly_issued_by(ca.certificate)
    except Exception:  # InvalidSignature, ValueError or TypeError: the leaf of another CA
        return False
    return True


def _issue(organisation: str, name: str, years: int, ca: Keys | None) -> Keys:
    """Issue a self-signed CA (ca=None) or a leaf of `ca`, with the extensions of the C2PA certificate profile (spec 14.5.1)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    issuer, signing_key = (subject, key) if ca is None else (ca.certificate.subject, ca.key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _CLOCK_SKEW)
        .not_valid_after(_now() + years * _YEAR)
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=0 if ca is None else None), critical=True)
        .add_extension(_usage(is_ca=ca is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if ca is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    return Keys(builder.sign(signing_key, hashes.SHA256()), key)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read(file: Path) -> Keys:
    try:
        file.chmod(0o600)
        content = file.read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("key and certificate do not belong together")
        return Keys(certificate, key)
    except (OSError, ValueError, TypeError) as fault:
        raise IdentityUnreadable(
            f"The signing keys in {file} can't be read: {fault}.",
            "Move the file away: new keys will be created, and manifests signed with the old ones stay valid.",
        ) from fault


def _write(file: Path, keys: Keys) -> None:
    """Write key and certificate to one file, atomically, so that they can't get out of step."""
    write_atomic(file, keys.private_pem + keys.pem, mode=OWNER_ONLY)
