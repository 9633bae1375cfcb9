"""What a specimen is: something that is dropped, and the answer it must get."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.errors import Code


@dataclass(frozen=True)
class Bad:
    """A drop that must be refused. Lines and columns are checked where they are given."""

    name: str
    code: Code
    body: bytes
    key: str = "jobs/bad/bee.yaml"
    others: Mapping[str, bytes] = field(default_factory=dict)
    """Dropped before it: references, folder defaults."""
    line: int | None = None
    column: int | None = None
    field: str | None = None
    words: tuple[str, ...] = ()
    """What message and hint must say."""
    file: str | None = None
    """The file with the mistake, when it is another one."""


@dataclass(frozen=True)
class Harmless:
    """A drop that looks bad and must work all the same."""

    name: str
    body: bytes
    key: str = "jobs/bad/bee.yaml"
    others: Mapping[str, bytes] = field(default_factory=dict)
    prompt: str | None = None
    """What must be read."""
    warnings: tuple[str, ...] = ()
    """Codes of the notices."""


def yaml(name: str, code: Code, text: str, *words: str, **where: object) -> Bad:
    """A spec as YAML text."""
    return Bad(name, code, text.encode(), words=words, **where)  # type: ignore[arg-type]
