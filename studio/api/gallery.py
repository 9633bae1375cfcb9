"""What is in the drop folder, a page at a time, the newest drop first."""

from contract.document import Document
from functions.table.ledger import GALLERY
from functions.table.records import GalleryEntry, State
from studio.api.ports import Ports

PAGE_ENTRIES = 24
# A search looks at this many entries in a request. If it has to look further, the person asks for
# that. So one request never takes longer because the folder has been used for years.
_SEARCHED_TOGETHER = 250
_SEARCHES = 4
# The links of a page work as long as somebody may leave it open.
LINK_SECONDS = 3600


class Asked(Document):
    """Which entries the page wants to see."""

    after: str = ""
    """Where the page before ended, as its answer said. Empty: the newest."""
    state: State | None = None
    search: str = ""
    """Words that must all be in path, prompt or tags."""


class Card(Document):
    """An entry of the gallery, with a link to its poster."""

    entry: GalleryEntry
    poster_link: str | None


class Page(Document):
    """Some entries."""

    cards: tuple[Card, ...]
    following: str | None
    """For `Asked.after`, to look further. None: there are no more entries."""


def page(ports: Ports, asked: Asked) -> Page:
    """A page of the gallery: with a filter, what one request finds in the next 1,000 entries."""
    filtered = asked.state is not None or asked.search.strip() != ""
    together = _SEARCHED_TOGETHER if filtered else PAGE_ENTRIES
    found: list[Card] = []
    start = asked.after
    for _ in range(_SEARCHES if filtered else 1):
        records = ports.ledger.query(GALLERY, GalleryEntry, start=start, limit=together + 1)
        for record in records[:together]:
            if len(found) == PAGE_ENTRIES:
                return Page(cards=tuple(found), following=record.key.sort)
            if _is_asked_for(record.document, asked):
                found.append(card(ports, record.document))
        start = records[together].key.sort if len(records) > together else ""
        if not start:
            break
    return Page(cards=tuple(found), following=start or None)


def card(ports: Ports, entry: GalleryEntry) -> Card:
    """An entry, with a link to its poster."""
    link = None
    if entry.poster:
        link = ports.files.link(ports.settings.output_bucket, entry.poster, LINK_SECONDS)
    return Card(entry=entry, poster_link=link)


def _is_asked_for(entry: GalleryEntry, asked: Asked) -> bool:
    if asked.state is not None and entry.state != asked.state:
        return False
    text = " ".join((entry.path, entry.prompt, *entry.tags)).casefold()
    return all(word in text for word in asked.search.casefold().split())
