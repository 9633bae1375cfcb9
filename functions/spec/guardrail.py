"""The port to the guardrail that judges prompts and references, and the words about a refusal."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.errors import Code, JobRejected, Place, Problem

MOST_PICTURES = 20
"""ApplyGuardrail takes no more of them in a call."""


@dataclass(frozen=True)
class Judgement:
    """What a guardrail says about a text or about pictures."""

    blocked: bool
    reasons: tuple[str, ...] = ()
    """Why it is blocked, such as "violence". May be empty."""


class GuardrailUnavailable(Exception):
    """The guardrail did not judge something. The message says why."""


class Guardrail(Protocol):
    """Judges texts and pictures, as Bedrock ApplyGuardrail does."""

    def judge(self, text: str) -> Judgement:
        """Judge a text that a person or the language model wrote.

        Raises:
            GuardrailUnavailable: there is no judgement, for example because a right is missing, the
                guardrail does not exist, or it has too many requests.
        """

    def judge_pictures(self, pictures: Sequence[bytes]) -> Judgement:
        """Judge what a person uploaded.

        Args:
            pictures: JPEGs, at most `MOST_PICTURES` of at most 4 MB each, as ApplyGuardrail wants.

        Raises:
            GuardrailUnavailable: see `judge`.
        """


class WithGuardrail(Protocol):
    """Can have texts and pictures judged."""

    @property
    def guardrail(self) -> Guardrail:
        """The guardrail. Only asked if the settings name one."""


def blocked(
    reasons: Collection[str] = (), field: str = "prompt", place: Place | None = None
) -> JobRejected:
    """The refusal of a job with a text that a guardrail blocks.

    Args:
        reasons: why, in words.
        field: the field with the text.
        place: where it is written.
    """
    why = f": {', '.join(reasons)}" if reasons else ""
    return JobRejected(
        Problem(
            code=Code.PROMPT_BLOCKED,
            message=f"The {field} was blocked by this account's content rules{why}.",
            hint=f"Change the {field} and drop the file again.",
            place=place or Place(),
        )
    )


def blocked_reference(reasons: Collection[str], field: str, file: str, place: Place) -> JobRejected:
    """The refusal of a job with a reference that a guardrail blocks.

    Args:
        reasons: why, in words.
        field: the field that names the reference.
        file: its file name.
        place: where the spec names it.
    """
    why = f": {', '.join(reasons)}" if reasons else ""
    return JobRejected(
        Problem(
            code=Code.REFERENCE_BLOCKED,
            message=f"The {field} {file} was blocked by this account's content rules{why}.",
            hint=f"Use another {field}.",
            place=place,
        )
    )
