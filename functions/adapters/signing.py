"""Content Credentials, by c2pa-python with a key that never leaves KMS."""

import json
import logging
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from functions.adapters.errors import CONFIG, code_of, message_of
from functions.stages.signing import CannotSign, Claim

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

CERTIFICATES = Path(__file__).parent.parent / "signing_certificates.pem"
"""The certificates of the key. A deployment puts them into the zip of the functions."""
VERSION = "0.1.0"
_NUMBER_BYTES = 32


class KmsSigner:
    """Signs with a key of KMS. c2pa gets the signature, and KMS the hash of what is signed."""

    def __init__(self, key_arn: str, certificates: Path = CERTIFICATES) -> None:
        """Remember the key.

        Args:
            key_arn: an asymmetric key of KMS for signing, ECC_NIST_P256.
            certificates: the file with its certificate first, then the one that signed it, and so
                on.
        """
        self._key_arn, self._certificates = key_arn, certificates

    @cached_property
    def _client(self) -> "KMSClient":
        return boto3.client("kms", config=CONFIG)

    def sign(self, source: Path, target: Path, claim: Claim, clip: Path | None = None) -> None:
        """See `Signer.sign`."""
        # Only who signs needs it, and loading its library takes time.
        import c2pa  # noqa: PLC0415

        # What KMS says is lost in c2pa, which only learns that there is no signature. It would log
        # it as an error.
        logging.getLogger("c2pa").setLevel(logging.CRITICAL)
        refusals: list[str] = []

        def signature(data: bytes) -> bytes:
            try:
                return self._signature(data)
            except CannotSign as why:
                refusals.append(str(why))
                raise

        try:
            chain = self._certificates.read_text(encoding="ascii")
            with (
                c2pa.Signer.from_callback(signature, c2pa.C2paSigningAlg.ES256, chain) as signer,
                c2pa.Builder(json.dumps(manifest_of(claim))) as builder,
                source.open("rb") as unsigned,
                target.open("w+b") as signed,
            ):
                if clip is not None:
                    builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
                    _add_parent(builder, clip)
                builder.sign(signer, "video/mp4", unsigned, signed)
        except (c2pa.C2paError, OSError, ValueError) as error:
            raise CannotSign("".join(refusals[:1]) or str(error)[:300]) from error

    def _signature(self, data: bytes) -> bytes:
        """The signature of `data`: two numbers, as COSE wants them.

        KMS takes at most 4,096 bytes, and what c2pa signs is shorter.
        """
        try:
            answer = self._client.sign(
                KeyId=self._key_arn,
                Message=data,
                MessageType="RAW",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        except ClientError as error:
            raise CannotSign(f"{code_of(error)}: {message_of(error)}"[:300]) from error
        except BotoCoreError as error:
            raise CannotSign(str(error)[:300]) from error
        return numbers_of(answer["Signature"])


def _add_parent(builder: Any, clip: Path) -> None:
    """Say which clip a file was edited from.

    c2pa cannot read all clips that players can. Then it takes the file itself for its parent.
    """
    import c2pa  # noqa: PLC0415

    parent = json.dumps({"title": "clip", "relationship": "parentOf"})
    with suppress(c2pa.C2paError), clip.open("rb") as file:
        builder.add_ingredient(parent, "video/mp4", file)


def numbers_of(der: bytes) -> bytes:
    """The two numbers of an ECDSA signature, one after the other, from the DER that KMS answers.

    Raises:
        ValueError: it is no signature of a key of 256 bits.
    """
    found, at = [], 2
    if der[:1] != b"\x30" or der[1] != len(der) - 2:
        raise ValueError("not the DER of a signature")
    for _ in range(2):
        if der[at : at + 1] != b"\x02":
            raise ValueError("not the DER of a signature")
        end = at + 2 + der[at + 1]
        found.append(int.from_bytes(der[at + 2 : end]))
        at = end
    return b"".join(number.to_bytes(_NUMBER_BYTES) for number in found)


def manifest_of(claim: Claim) -> dict[str, Any]:
    """The manifest of c2pa for a claim."""
    if claim.model is None:
        edited = {
            "action": "c2pa.edited",
            "digitalSourceType": claim.source_type,
            "softwareAgent": {"name": "reeldrop", "version": VERSION},
        }
        return _manifest(edited)
    parameters: dict[str, Any] = {"model": claim.model, "seed": claim.seed}
    if claim.prompt is not None:
        parameters["prompt"] = claim.prompt
    agent = {"name": claim.model}
    if claim.revision is not None:
        agent["version"] = claim.revision
    action = {
        "action": "c2pa.created",
        "digitalSourceType": claim.source_type,
        "softwareAgent": agent,
        "parameters": parameters,
    }
    return _manifest(action)


def _manifest(action: dict[str, Any]) -> dict[str, Any]:
    return {
        "claim_generator_info": [{"name": "reeldrop", "version": VERSION}],
        "format": "video/mp4",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
