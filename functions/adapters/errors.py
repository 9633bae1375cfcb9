"""AWS's error codes, translated into our exceptions; the clients' time limits."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract.errors import Transient
from functions.ports import Missing

# Client-side retries with jitter; what is left after them is for the queue to repeat. All tries of
# one call fit into the shortest function's 60 seconds, or it would die before it can say so.
CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=10
)
_TRANSIENT = {
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "LimitExceededException",
    "OperationAborted",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
_GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def message_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Message", "")


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors that mean 'again later' and 'not there' into ours; pass on the others."""
    try:
        yield
    except ClientError as error:
        if code_of(error) in _TRANSIENT:
            raise Transient(str(error)) from error
        if code_of(error) in _GONE:
            raise Missing(str(error)) from error
        raise
    except BotoCoreError as error:  # connection refused, timed out, cut off
        raise Transient(str(error)) from error
