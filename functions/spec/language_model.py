"""The port to the language model that enhances prompts."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """What a language model answered."""

    text: str
    stop_reason: str
    answered_by: str


class LanguageModelUnavailable(Exception):
    """The model did not answer; the message says why."""


class LanguageModel(Protocol):
    """Bedrock Converse."""

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        """One turn, with a JPEG to look at if there is one. Raises LanguageModelUnavailable."""
