"""Every use that we make of ministack's internals, with one function for each use.

ministack may change its internals in any release. Its version is therefore pinned exactly, and
tests fail when one of these functions stops working: `put_aws_event` is tested by
tests/local/test_cloud_sagemaker.py (the events of a processing job), `load_app` by
tests/contract/test_ports.py (copies with a condition) and tests/local/test_cdk_cli.py (a deployment
that takes up buckets), `denial` and
`role_credentials` by tests/local/test_cloud_permissions.py, `add_signing_key` by
tests/contract/test_ports.py (a signed video), the others by
tests/local/test_cloud_lifetime.py (a kill, a restart, a stop during work).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from local.cloud.asgi import App
from local.cloud.clients import ACCOUNT, OWNER, REGION, Credentials
from local.cloud.permissions import Denial


def environment(state: Path, *, port: int, persist: bool) -> dict[str, str]:
    """Return the environment variables for ministack, which reads most of them on import.

    Args:
        state: the folder that ministack writes to.
        port: the port that we serve on. Lambda functions get it in AWS_ENDPOINT_URL.
        persist: whether ministack keeps its state over restarts.
    """
    variables = {
        # Calls are checked against the policies of the caller's role, and those of the resource.
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": OWNER.access_key_id,
        "AWS_CONFIG_FILE": str(state / "no-aws-config"),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SECRET_ACCESS_KEY": OWNER.secret_access_key,
        "AWS_SHARED_CREDENTIALS_FILE": str(state / "no-aws-credentials"),
        "BIND_HOST": "127.0.0.1",
        "DOCKER_HOST": f"unix://{state}/no-docker",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "INFO",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "SFTP_ENABLED": "0",
        "TMPDIR": str(state / "tmp"),
    }
    if persist:
        variables |= {
            "PERSIST_STATE": "1",
            "S3_DATA_DIR": str(state / "s3"),
            "S3_PERSIST": "1",
            "STATE_DIR": str(state / "ministack"),
        }
    return variables


def is_foreign_variable(name: str) -> bool:
    """Return whether an inherited variable could affect ministack or a Lambda function."""
    prefixes = ("AWS_", "LAMBDA_", "LOCALSTACK_", "MINISTACK_", "PERSIST_", "S3_", "SFTP_", "IOT_")
    names = {"AUTH", "EDGE_PORT", "PYTHONHOME", "PYTHONPATH", "SERVICES", "STATE_DIR", "USE_SSL"}
    return name.startswith(prefixes) or name in names


def load_app() -> App:
    """Import ministack's ASGI application. The variables of `environment` must be set before."""
    from ministack.app import app  # noqa: PLC0415 - reads the environment on import

    _check_conditions_of_copies()
    _import_buckets_that_exist()
    return app  # type: ignore[no-any-return]


def _check_conditions_of_copies() -> None:
    """Let S3 check the conditions of copies. ministack checks only those of uploads."""
    from ministack.services import s3  # noqa: PLC0415

    copy = s3._copy_object

    def checked(bucket_name: str, target_key: str, headers: dict[str, str]) -> Any:
        bucket = s3._ensure_bucket(bucket_name) or {}
        there = bucket.get("objects", {}).get(target_key)
        refusal = s3._check_put_preconditions(headers, there)
        return copy(bucket_name, target_key, headers) if refusal is None else refusal

    s3._copy_object = checked


def _import_buckets_that_exist() -> None:
    """Let CloudFormation take up buckets that exist, as it does with other resources.

    ministack checks before each deployment that no bucket of the template exists, even if the
    change set says that it is imported.
    """
    from ministack.services.cloudformation import _stacks, changesets  # noqa: PLC0415

    deploy = changesets._deploy_stack_async

    def deploy_unchecked(stack_name: str, *arguments: Any, **options: Any) -> Any:
        if options.get("imports"):
            _stacks[stack_name]["_disable_validation"] = True
        return deploy(stack_name, *arguments, **options)

    changesets._deploy_stack_async = deploy_unchecked


def put_aws_event(detail_type: str, source: str, detail: dict[str, Any], resource: str) -> None:
    """Put an event with an `aws.` source on the default event bus.

    The PutEvents API refuses such sources, in ministack as in AWS.

    Raises:
        RuntimeError: ministack refused the event.
    """
    from ministack.core.responses import request_scope  # noqa: PLC0415
    from ministack.services import eventbridge  # noqa: PLC0415

    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": [resource],
    }
    with request_scope(ACCOUNT, REGION):
        _status, _headers, body = eventbridge._put_events({"Entries": [entry]}, True)
    answer = json.loads(body)
    if answer.get("FailedEntryCount") != 0:
        raise RuntimeError(f"ministack refused an event: {answer}")


def denial(
    access_key_id: str, action: str, resource: str, context: Mapping[str, str]
) -> Denial | None:
    """Evaluate the policies of a caller, for the services that are not ministack's.

    ministack does the same for its own services, and checks the signatures of their calls, too.

    Args:
        access_key_id: whose call it is.
        action: like `sagemaker:CreateProcessingJob`.
        resource: the ARN that it acts on.
        context: condition keys with their values.

    Returns:
        The reason why the call is refused; None if it is allowed.
    """
    from ministack.core import iam_evaluator  # noqa: PLC0415
    from ministack.core.responses import request_scope  # noqa: PLC0415

    with request_scope(ACCOUNT, REGION):
        caller = iam_evaluator.resolve_principal(access_key_id, ACCOUNT)
        if isinstance(caller, iam_evaluator.AuthError):
            return Denial(caller.code, caller.message)
        if caller.policies is None:
            return None  # the owner
        asked = iam_evaluator.EvalContext(
            principal_arn=caller.arn,
            principal_type=caller.type,
            principal_account=caller.account,
            action=action,
            resource_arn=resource,
            region=REGION,
            secure_transport=True,
            service_context={name.lower(): value for name, value in context.items()},
            principal_keys=caller.keys,
        )
        decided = iam_evaluator.evaluate(asked, caller.policies, *caller.limits)
    if decided.decision == "Allow":
        return None
    message = f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource}"
    return Denial("AccessDeniedException", message)


def role_credentials(role_arn: str) -> Credentials:
    """Return credentials of a role, as a service gets them that may use the role."""
    from ministack.services import sts  # noqa: PLC0415

    digest = hashlib.sha256(role_arn.encode()).hexdigest()
    role = role_arn.rpartition("/")[2]
    credentials = Credentials(f"ASIA{digest[:16].upper()}", digest, digest[::-1])
    session = {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/embedded",
        "UserId": f"{role}:embedded",
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
    }
    sts.register_session(credentials.access_key_id, session)
    return credentials


def add_signing_key(key_id: str, private_key: EllipticCurvePrivateKey) -> None:
    """Let KMS have an asymmetric key with this id, which signs with this private key."""
    from ministack.core.responses import request_scope  # noqa: PLC0415
    from ministack.services import kms  # noqa: PLC0415

    with request_scope(ACCOUNT, REGION):
        wanted = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
        _status, _headers, body = kms._create_key(wanted)
        made = json.loads(body)["KeyMetadata"]["KeyId"]
        record = {**kms._keys[made], "KeyId": key_id, "Arn": kms._arn(key_id)}
        del kms._keys[made]
        kms._set_asymmetric_material(record, private_key)
        kms._keys[key_id] = record


def save_state() -> None:
    """Save the state of all services now. ministack itself saves only when it shuts down."""
    from ministack import app  # noqa: PLC0415

    app.save_all(app._build_persistence_save_dict())


def kill_lambda_workers() -> None:
    """Kill every warm Lambda runtime. ministack itself waits until they notice a closed input."""
    from ministack.core import lambda_runtime  # noqa: PLC0415

    with lambda_runtime._lock:
        workers = [worker for pool in lambda_runtime._workers.values() for worker in pool]
        lambda_runtime._workers.clear()
    lambda_runtime.kill_workers(workers)
