"""Translates AWS's error codes into our exceptions, and sets the clients' time limits."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract.errors import Transient
from functions.ports import Missing, Throttled

# The client retries with jitter. After that the queue delivers the message again. All tries of one
# call fit into the 60 s of the shortest function, so the function can still report the error.
CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=10
)
_THROTTLED = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_TRANSIENT = {
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "TransactionInProgressException",
}
_OVERTAKEN = {"ConditionalRequestConflict", "PreconditionFailed"}
_GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}
_KEY_UNUSABLE = {"KMS.DisabledException", "KMS.KMSInvalidStateException", "KMS.NotFoundException"}


class Overtaken(Transient):
    """Another caller changed an object before this one, so nothing was written."""


def code_of(error: ClientError) -> str:
    """The error code that AWS answered with."""
    return error.response.get("Error", {}).get("Code", "")


def message_of(error: ClientError) -> str:
    """The message that AWS answered with."""
    return error.response.get("Error", {}).get("Message", "")


def is_about_a_key(error: ClientError) -> bool:
    """Whether S3 could not use the key of KMS with which an object is encrypted."""
    denied = code_of(error) == "AccessDenied" and "kms:" in message_of(error)
    return denied or code_of(error) in _KEY_UNUSABLE


@contextmanager
def translated() -> Iterator[None]:
    """Translate the errors that mean 'try again later' and 'not there'. Others pass through."""
    try:
        yield
    except ClientError as error:
        if code_of(error) in _THROTTLED:
            raise Throttled(str(error)) from error
        if code_of(error) in _OVERTAKEN:
            raise Overtaken(str(error)) from error
        if code_of(error) in _TRANSIENT:
            raise Transient(str(error)) from error
        if code_of(error) in _GONE:
            raise Missing(str(error)) from error
        raise
    except BotoCoreError as error:  # the connection was refused, timed out or broke
        raise Transient(str(error)) from error
