"""The permissions of each deployed function, from the synthesised template, and those of each call.

IAM denies every call that no statement allows. The simulation checks every call of a port in the
same way. So a permission that is missing from a role is a violation in the simulation.
"""

import fnmatch
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from functions.table.ledger import Put
from local import ROOT
from local.cloud import signing
from local.command.assembly import assembly

FUNCTIONS = ("submit", "dispatch", "finish", "sweep")

# The names that the resources of the template have in the simulation.
_NAMES = {
    "StorageInput": "input",
    "StorageOutput": "output",
    "StorageWork": "work",
    "StorageTable": "table",
    "DropsQueue": "drops",
    "WakesQueue": "wake-ups",
    "Topic": "topic",
    "Bus": "bus",
    "WorkerRole": "worker-role",
}

# Lambda itself uses these permissions of the role, for the log, the queue and the traces of the
# function.
_OF_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

Need = tuple[str, str]
"""An action, and the resource that it acts on."""

Right = tuple[str, str, str]
"""A function, an action, and the pattern of the resources that it may act on."""


class AccessDenied(Exception):
    """A function's role does not allow a call."""


@dataclass(frozen=True)
class Statement:
    """A statement of a role's policy, with resources under the simulation's names."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass
class Rights:
    """The permissions of the four functions, and which of them were needed."""

    statements: dict[str, tuple[Statement, ...]]
    needed: dict[Right, int] = field(default_factory=dict)
    """The rights without which a need was not allowed, with the number of needs before that."""
    _needs: int = 0
    _allowed: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    """Whether a function is allowed an action on a resource."""

    def check(self, function: str, needs: Iterable[Need]) -> None:
        """Check the needs of a call, and note which permissions it uses.

        Raises:
            AccessDenied: the function's role does not allow one of the needs.
        """
        for action, resource in needs:
            if not self._use(function, action, resource):
                raise AccessDenied(f"{function} may not {action} {resource}")

    def _use(self, function: str, action: str, resource: str) -> bool:
        self._needs += 1
        need = (function, action, resource)
        if need not in self._allowed:
            allowing = {
                (function, action, pattern)
                for statement in self.statements[function]
                for pattern in statement.resources
                if action in statement.actions and fnmatch.fnmatchcase(resource, pattern)
            }
            self._allowed[need] = bool(allowing)
            if len(allowing) == 1:
                self.needed.setdefault(allowing.pop(), self._needs)
        return self._allowed[need]


def rights_of(statements: dict[str, tuple[Statement, ...]]) -> set[Right]:
    """All rights of all functions, without those that Lambda itself uses."""
    return {
        (function, action, pattern)
        for function, of_function in statements.items()
        for statement in of_function
        for action in statement.actions
        if action not in _OF_LAMBDA
        for pattern in statement.resources
    }


def without(
    statements: dict[str, tuple[Statement, ...]], right: Right
) -> dict[str, tuple[Statement, ...]]:
    """The statements without one right."""
    function, action, pattern = right
    kept: list[Statement] = []
    for statement in statements[function]:
        others = tuple(one for one in statement.actions if one != action)
        patterns = tuple(one for one in statement.resources if one != pattern)
        if len(others) == len(statement.actions):
            kept.append(statement)
            continue
        kept.append(Statement(others, statement.resources))
        kept.append(Statement((action,), patterns))
    return {**statements, function: tuple(kept)}


@cache
def deployed() -> dict[str, tuple[Statement, ...]]:
    """The statements of each function's role, as synthesised for the embedded cloud."""
    folder = assembly(ROOT / ".reeldrop")
    template = json.loads((folder / "reeldrop.template.json").read_text())
    found: dict[str, tuple[Statement, ...]] = {}
    for function in FUNCTIONS:
        prefix = f"{function.capitalize()}RoleDefaultPolicy"
        (policy,) = (
            resource["Properties"]["PolicyDocument"]
            for name, resource in template["Resources"].items()
            if name.startswith(prefix)
        )
        found[function] = tuple(_statement(s) for s in policy["Statement"])
    return found


def _statement(given: dict[str, Any]) -> Statement:
    assert given["Effect"] == "Allow"
    return Statement(
        actions=tuple(_list(given["Action"])),
        resources=tuple(_resource(one) for one in _list(given["Resource"])),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _resource(value: Any) -> str:
    """Convert an ARN of the template to a pattern of the simulation's names."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::GetAtt":
        return _name(argument[0])
    if function == "Ref":
        return _name(argument)
    if function == "Fn::Join":
        text: str = argument[0].join(_resource(part) for part in argument[1])
        if ":bedrock:" in text:
            return "guardrail" if ":guardrail/" in text else "model"
        arn, found, name = text.partition(":processing-job/")
        return f"processing-job/{name}" if found else arn
    if function == "Fn::FindInMap":
        return "us"  # the only mapping in an ARN: where prompts are enhanced
    raise ValueError(f"no pattern for {value}")


def _name(logical_id: str) -> str:
    named = (name for start, name in _NAMES.items() if logical_id.startswith(start))
    return next(named, logical_id)


def needs_of(what: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Need]:
    """The permissions that the adapter needs for a call of its port.

    Args:
        what: port and method, like "files.read".
        args: the positional arguments of the call.
        kwargs: the keyword arguments of the call.
    """
    port, _, method = what.partition(".")
    if port == "reader":
        return  # it calls no service
    yield from {"ledger": _ledger, "files": _files}.get(port, _others)(what, method, args, kwargs)


def _ledger(
    _what: str, method: str, args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> Iterator[Need]:
    if method == "commit":
        for change in args:
            action = "PutItem" if isinstance(change, Put) else "DeleteItem"
            yield f"dynamodb:{action}", "table"
    else:
        names = {"get": "GetItem", "get_all": "BatchGetItem", "query": "Query"}
        yield f"dynamodb:{names[method]}", "table"


def _files(
    _what: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Need]:
    if method == "copy":
        (bucket, key, version), target = args[0], args[1]
        yield from _read(bucket, key, version)
        yield from _write(target[0], target[1], kwargs)
        return
    if method == "upload":
        yield from _write(args[1], args[2], kwargs)
        return
    bucket, key = args[0], args[1]
    if method in {"page", "facts_after", "versions"}:
        yield "s3:ListBucket" if method == "page" else "s3:ListBucketVersions", bucket
        return
    if method == "write":
        yield from _write(bucket, key, kwargs)
        return
    version = kwargs.get("version", args[2] if method in {"facts", "read"} and args[2:] else None)
    yield from _read(bucket, key, version)
    if method == "remove":
        yield "s3:DeleteObject", f"{bucket}/{key}"


def _write(bucket: str, key: str, kwargs: dict[str, Any]) -> Iterator[Need]:
    yield "s3:PutObject", f"{bucket}/{key}"
    if kwargs.get("mark"):
        yield from _read(bucket, key, None)


def _read(bucket: str, key: str, version: str | None) -> Iterator[Need]:
    yield "s3:GetObjectVersion" if version else "s3:GetObject", f"{bucket}/{key}"
    # Without this permission S3 answers 403 for an object that does not exist.
    yield "s3:ListBucket", bucket


def _others(
    what: str, method: str, args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> Iterator[Need]:
    if what == "renderer.start":
        yield "sagemaker:CreateProcessingJob", f"processing-job/{args[0].attempt_id}"
        yield "iam:PassRole", "worker-role"
    elif what.startswith("renderer."):
        action = {"status": "DescribeProcessingJob", "stop": "StopProcessingJob"}[method]
        yield f"sagemaker:{action}", f"processing-job/{args[0]}"
    elif what == "language_model.converse":
        yield "bedrock:InvokeModel", "model"
    elif what.startswith("guardrail."):
        yield "bedrock:ApplyGuardrail", "guardrail"
    elif what == "signer.sign":
        yield "kms:Sign", signing.KEY_ARN
    elif what == "post.send":
        yield "sns:Publish", "topic"
    elif what == "bus.put":
        yield "events:PutEvents", "bus"
    elif what == "announce":
        yield "sqs:SendMessage", "drops"
    elif what == "wake":
        yield "sqs:SendMessage", "wake-ups"
    else:
        raise ValueError(f"it is not known what {what} needs")
