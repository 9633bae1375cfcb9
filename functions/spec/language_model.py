"""The port to the language model that enhances prompts."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """The answer of a language model."""

    text: str
    stop_reason: str
    """Why the model stopped, in the words of Bedrock Converse, such as `end_turn`."""
    answered_by: str
    """Name of the model that answered."""


class LanguageModelUnavailable(Exception):
    """The model did not answer. The message says why."""


class LanguageModelBusy(LanguageModelUnavailable):
    """The model has too many requests now. It may answer a minute later."""


class LanguageModel(Protocol):
    """Asks a language model, as Bedrock Converse does."""

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        """Ask one question and return the answer.

        Args:
            system: the system prompt.
            user: the message of the user.
            max_tokens: maximum length of the answer in tokens.
            image: a JPEG for the model to look at.

        Raises:
            LanguageModelBusy: the model has too many requests now.
            LanguageModelUnavailable: the model did not answer for another reason.
        """


class WithLanguageModel(Protocol):
    """Can ask the language model."""

    @property
    def language_model(self) -> LanguageModel:
        """The language model."""
