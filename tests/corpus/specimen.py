"""The types of the corpus: a drop, and the answer that it must get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from contract.errors import Code

OF_THE_WORKER = frozenset(
    {
        Code.GPU_UNUSABLE, Code.MANIFEST_INVALID, Code.WEIGHTS_MISSING, Code.WEIGHTS_DAMAGED,
        Code.OUT_OF_MEMORY, Code.DISK_FULL, Code.RENDER_FAILED, Code.LORA_UNUSABLE,
    }
)  # fmt: skip
"""The codes that only the worker finds. `tests/processing/test_advice.py` follows their advice."""


@dataclass(frozen=True)
class Bad:
    """A drop that must be refused. Lines and columns are checked where they are given."""

    name: str
    code: Code
    body: bytes
    key: str = "jobs/bad/bee.yaml"
    others: Mapping[str, bytes] = field(default_factory=dict)
    """Files that are dropped before it: references and folder defaults."""
    line: int | None = None
    column: int | None = None
    field: str | None = None
    words: tuple[str, ...] = ()
    """Words that the message or the hint must contain."""
    file: str | None = None
    """The file with the mistake, if it is not the drop itself."""


@dataclass(frozen=True)
class Harmless:
    """A drop that looks bad but must be accepted."""

    name: str
    body: bytes
    key: str = "jobs/bad/bee.yaml"
    others: Mapping[str, bytes] = field(default_factory=dict)
    prompt: str | None = None
    """The prompt that must be read, if given."""
    warnings: tuple[str, ...] = ()
    """Codes of the expected warnings."""


class Where(TypedDict, total=False):
    """Where the mistake is: the fields of `Bad` with these names."""

    line: int
    column: int
    field: str | None


def yaml(name: str, code: Code, text: str, *words: str, **where: Unpack[Where]) -> Bad:
    """A spec as YAML text."""
    return Bad(name, code, text.encode(), words=words, **where)
