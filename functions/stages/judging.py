"""Has every text and reference of a video judged by the guardrail, if the settings name one.

It fails closed: without a judgement a job waits, whatever the reason. The administrator corrects
it, and the job goes on by itself.
"""

import posixpath
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from contract.catalogue import MODELS
from functions.ports import WithClock
from functions.settings import Settings, WithSettings
from functions.spec.expand import Wanted
from functions.spec.fields import JobSpec, in_words
from functions.spec.guardrail import (
    GuardrailUnavailable,
    Judgement,
    WithGuardrail,
    blocked,
    blocked_reference,
)
from functions.spec.resolve import prompts_of

_NOT_ASKED = Judgement(blocked=False)


def judges_pictures(settings: Settings) -> bool:
    """Whether a guardrail judges images, clips and finished videos."""
    return bool(settings.guardrail_id) and settings.guardrail_pictures


class Needs(WithClock, WithSettings, WithGuardrail, Protocol):
    """What judging uses."""


class Judging:
    """What the guardrail says about one job. It is asked about each text and reference once."""

    def __init__(self, ports: Needs) -> None:
        self._ports = ports
        self._known: dict[str | tuple[bytes, ...], Judgement] = {}

    def check(self, spec: JobSpec, wanted: Wanted, until: datetime) -> None:
        """Refuse what a person wrote for a video if it is blocked.

        The negative prompt of a model is no person's, and names what should not be seen.

        Args:
            spec: the resolved spec, before its prompt is enhanced.
            wanted: the same video, for the positions of its texts.
            until: a guardrail that takes longer counts as unavailable.

        Raises:
            JobRejected: `prompt-blocked`.
            GuardrailUnavailable: there is no judgement.
        """
        given = MODELS[spec.model].negative_prompt if spec.model else ""
        others = ((field, getattr(spec, field)) for field in ("negative_prompt", "label"))
        for field, text in (*prompts_of(spec), *others):
            if field == "negative_prompt" and text == given:
                continue
            judgement = self._judged(text, until)
            if judgement.blocked:
                raise blocked(judgement.reasons, in_words(field), wanted.place(field))

    def allows(self, caption: str) -> bool:
        """Whether what the language model wrote may be rendered.

        Raises:
            GuardrailUnavailable: there is no judgement.
        """
        return not self._judged(caption).blocked

    def check_reference(
        self, wanted: Wanted, field: str, key: str, previews: tuple[bytes, ...], until: datetime
    ) -> None:
        """Refuse a reference that is blocked.

        Args:
            wanted: a video that needs it.
            field: the field that names it.
            key: its key.
            previews: JPEGs of it.
            until: a guardrail that takes longer counts as unavailable.

        Raises:
            JobRejected: `reference-blocked`.
            GuardrailUnavailable: there is no judgement.
        """
        guardrail = self._ports.guardrail
        judgement = self._asked(previews, lambda: guardrail.judge_pictures(previews), until)
        if judgement.blocked:
            name = posixpath.basename(key)
            raise blocked_reference(judgement.reasons, in_words(field), name, wanted.place(field))

    def _judged(self, text: str, until: datetime | None = None) -> Judgement:
        if not text.strip():
            return _NOT_ASKED
        return self._asked(text, lambda: self._ports.guardrail.judge(text), until)

    def _asked(
        self,
        about: str | tuple[bytes, ...],
        ask: Callable[[], Judgement],
        until: datetime | None,
    ) -> Judgement:
        """What the guardrail says about a text or pictures. It is asked if it was not before.

        Raises:
            GuardrailUnavailable: there is no judgement, or it is too late to ask for one.
        """
        if not self._ports.settings.guardrail_id:
            return _NOT_ASKED
        if about not in self._known:
            if until is not None and self._ports.now() > until:
                raise GuardrailUnavailable("the guardrail takes too long")
            self._known[about] = ask()
        return self._known[about]
