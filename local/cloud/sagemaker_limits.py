"""SageMaker's limits, as its service model states them: lengths, ranges, patterns, enumerations.

botocore itself checks types and required members only, and leaves the rest to AWS.
"""

import re
from functools import cache
from typing import Any

import botocore.session
from botocore.model import Shape

# The model's patterns are Java's. These are the classes that Python's `re` lacks.
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


def violations(operation: str, request: dict[str, Any]) -> list[str]:
    """Everything that is wrong with a request, in AWS's words, or an empty list.

    Arguments:
        operation: for example `CreateProcessingJob`.
        request: the parameters as boto3 takes them and as they travel in JSON.
    """
    return _check(_input_shape(operation), request, "")


@cache
def _input_shape(operation: str) -> Shape:
    # 0.2 s: the model has 4 MB.
    model = botocore.session.get_session().get_service_model("sagemaker")
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
    kind: Any = shape
    if shape.type_name == "structure":
        for name in kind.required_members:
            if name not in value:
                found.append(_failure(None, f"{path}.{name}", "Member must not be null"))
        for name, item in value.items():
            where = f"{path}.{name}"
            if name in kind.members:
                found += _check(kind.members[name], item, where)
            else:
                found.append(_failure(item, where, "Member is unknown"))
    elif shape.type_name == "list":
        for number, item in enumerate(value, start=1):
            found += _check(kind.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for name, item in value.items():
            found += _check(kind.key, name, f"{path}.key")
            found += _check(kind.value, item, f"{path}.{name}.value")
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
        # Patterns are not tried on what is too long: some backtrack without end.
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
    # AWS names members in lower camel case, and so do the console's messages.
    where = ".".join(part[:1].lower() + part[1:] for part in path.strip(".").split("."))
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{where}' failed to satisfy constraint: {need}"
