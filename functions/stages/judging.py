"""Has every text that is rendered judged by the guardrail, if the settings name one.

It fails closed: without a judgement a job waits, whatever the reason. The administrator corrects
it, and the job goes on by itself.
"""

from datetime import datetime
from typing import Protocol

from contract.catalogue import MODELS
from functions.ports import WithClock
from functions.settings import WithSettings
from functions.spec.expand import Wanted
from functions.spec.fields import JobSpec
from functions.spec.guardrail import GuardrailUnavailable, Judgement, WithGuardrail, blocked

_NOT_ASKED = Judgement(blocked=False)


class Needs(WithClock, WithSettings, WithGuardrail, Protocol):
    """What judging uses."""


class Judging:
    """What the guardrail says about the texts of one job. It is asked about each text once."""

    def __init__(self, ports: Needs) -> None:
        self._ports = ports
        self._known: dict[str, Judgement] = {}

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
        assert spec.model is not None  # resolved
        for field in ("prompt", "negative_prompt"):
            text = getattr(spec, field)
            if field == "negative_prompt" and text == MODELS[spec.model].negative_prompt:
                continue
            if self._ports.now() > until:
                raise GuardrailUnavailable("the guardrail takes too long")
            judgement = self._judged(text)
            if judgement.blocked:
                raise blocked(judgement.reasons, field, wanted.place(field))

    def allows(self, caption: str) -> bool:
        """Whether what the language model wrote may be rendered.

        Raises:
            GuardrailUnavailable: there is no judgement.
        """
        return not self._judged(caption).blocked

    def _judged(self, text: str) -> Judgement:
        if not self._ports.settings.guardrail_id or not text.strip():
            return _NOT_ASKED
        if text not in self._known:
            self._known[text] = self._ports.guardrail.judge(text)
        return self._known[text]
