"""The key that signs videos on the embedded cloud, with certificates that say that it is a test.

Key and certificates are made once and kept, because the functions' zip contains the certificates.
Nobody trusts them. A reader of Content Credentials says so.
"""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local import ROOT
from local.cloud.clients import ACCOUNT, REGION

KEY_ID = "embedded-test-key"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"
TEST_NAME = "reeldrop TEST KEY, proves nothing"
_FOLDER = ROOT / ".reeldrop" / "signing-test-key"
_KEY_FILE, _CERTIFICATES_FILE = "key.pem", "certificates.pem"
_DAYS = 3650


def certificates() -> Path:
    """The file with the certificates of the test key, which is made if there is none yet."""
    return _made() / _CERTIFICATES_FILE


def private_key() -> ec.EllipticCurvePrivateKey:
    """The test key."""
    key = serialization.load_pem_private_key((_made() / _KEY_FILE).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _made() -> Path:
    """The folder with key and certificates."""
    if not _FOLDER.exists():
        unfinished = _FOLDER.with_name(f"making-{_FOLDER.name}-{os.getpid()}")
        unfinished.mkdir(parents=True, exist_ok=True)
        _make(unfinished)
        try:
            unfinished.rename(_FOLDER)
        except OSError:
            shutil.rmtree(unfinished)  # another process was faster
    return _FOLDER


def _make(folder: Path) -> None:
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, name = _name(f"{TEST_NAME} (root)"), _name(TEST_NAME)
    root_certificate = (
        _begun(root_name, root_name, root)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(root, hashes.SHA256())
    )
    # c2pa refuses a certificate that does not say what it is for, or who vouches for it.
    certificate = (
        _begun(name, root_name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False
        )
        .sign(root, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain = certificate.public_bytes(pem) + root_certificate.public_bytes(pem)
    (folder / _CERTIFICATES_FILE).write_bytes(chain)
    (folder / _KEY_FILE).write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "reeldrop on the embedded cloud"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
