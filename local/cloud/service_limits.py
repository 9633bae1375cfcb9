"""Checks requests against the model of a service: lengths, ranges, patterns, enumerations.

botocore itself checks only types and required members and leaves the rest to AWS.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape

# The patterns of the model are written for Java. Python's `re` lacks these character classes.
_JAVA_CLASSES = {r"\p{L}": r"\w", r"\p{Z}": r"\s", r"\p{N}": r"\d"}
_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}


def violations(operation: str, request: dict[str, Any], service: str = "sagemaker") -> list[str]:
    """List everything that is wrong with a request, in the wording of AWS.

    Args:
        operation: for example `CreateProcessingJob`.
        request: the parameters, named as in boto3 and in the JSON of the API.
        service: its name in boto3.

    Returns:
        One message for each violation; an empty list if the request is valid.
    """
    return _check(_input_shape(operation, service), request, "")


@cache
def _input_shape(operation: str, service: str) -> Shape:
    # Cached, because loading the 4 MB of the service model takes 0.2 s.
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    if shape is None:
        raise ValueError(f"{operation} takes no input")
    return shape


def _check(shape: Shape, value: Any, path: str) -> list[str]:
    expected = _TYPES.get(shape.type_name)
    is_wrong_boolean = isinstance(value, bool) and shape.type_name != "boolean"
    if expected and (not isinstance(value, expected) or is_wrong_boolean):
        return [
            f"Value at '{path}' failed to satisfy constraint: Member must be a {shape.type_name}"
        ]
    found = _constraints(shape, value, path)
    if isinstance(shape, StructureShape):
        found += _check_structure(shape, value, path)
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, start=1):
            found += _check(shape.member, item, f"{path}.{number}.member")
    elif isinstance(shape, MapShape):
        for name, item in value.items():
            found += _check(shape.key, name, f"{path}.key")
            found += _check(shape.value, item, f"{path}.{name}.value")
    return found


def _check_structure(shape: StructureShape, value: Mapping[str, Any], path: str) -> list[str]:
    found = [
        _failure(None, f"{path}.{name}", "Member must not be null")
        for name in shape.required_members
        if name not in value
    ]
    for name, item in value.items():
        where = f"{path}.{name}"
        if name in shape.members:
            found += _check(shape.members[name], item, where)
        else:
            found.append(_failure(item, where, "Member is unknown"))
    return found


def _constraints(shape: Shape, value: Any, path: str) -> list[str]:
    limits = shape.metadata
    numeric = shape.type_name in {"integer", "long", "float", "double"}
    sized = shape.type_name in {"string", "list", "map"}
    measure = value if numeric else len(value) if sized else None
    kind = "value" if numeric else "length"
    if measure is not None and "min" in limits and measure < limits["min"]:
        need = f"Member must have {kind} greater than or equal to {limits['min']}"
        return [_failure(value, path, need)]
    if measure is not None and "max" in limits and measure > limits["max"]:
        # Patterns are not tried on values that are too long, because some would backtrack for ages.
        need = f"Member must have {kind} less than or equal to {limits['max']}"
        return [_failure(value, path, need)]
    choices = limits.get("enum")
    if choices and value not in choices:
        return [_failure(value, path, f"Member must satisfy enum value set: {choices}")]
    pattern = limits.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        return [_failure(value, path, f"Member must satisfy regular expression pattern: {pattern}")]
    return []


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


def _failure(value: Any, path: str, need: str) -> str:
    # AWS writes the names of members in lower camel case in its messages.
    where = ".".join(part[:1].lower() + part[1:] for part in path.strip(".").split("."))
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{where}' failed to satisfy constraint: {need}"
