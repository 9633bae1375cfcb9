"""All ports in one object. The handlers build it once from AWS adapters, tests from fakes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from functions.log import Event
from functions.ports import Announce, Files, Wake
from functions.replies.bus import Bus
from functions.replies.post import Post
from functions.settings import Settings
from functions.spec.guardrail import Guardrail
from functions.spec.language_model import LanguageModel
from functions.spec.reader import Reader
from functions.stages.renderer import Renderer
from functions.stages.signing import Signer
from functions.table.ledger import Ledger


@dataclass(frozen=True)
class Ports:
    """All ports. It satisfies the `Needs` of every stage. Only entry points and tests import it."""

    settings: Settings
    region: str
    ledger: Ledger
    files: Files
    renderer: Renderer
    reader: Reader
    language_model: LanguageModel
    guardrail: Guardrail
    signer: Signer
    post: Post
    bus: Bus
    announce: Announce
    wake: Wake
    now: Callable[[], datetime]
    """The time now, with the time zone UTC."""
    new_suffix: Callable[[], str]
    """Returns eight random lower-case hex digits."""
    log: Callable[[Event, dict[str, object]], None]
    """Log an event with its facts, and count it if the event has a metric."""
