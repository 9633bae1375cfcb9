"""What the table notes about folder defaults, for the folders below them."""

from collections.abc import Iterable

from functions import s3_keys
from functions.table.ledger import WithLedger, defaults_key
from functions.table.records import NotedDefaults


def noted_above(ports: WithLedger, folders: Iterable[str]) -> dict[str, list[NotedDefaults]]:
    """The noted folder defaults that apply to each folder, those of the closest folder first."""
    places = {
        folder: s3_keys.defaults_of(s3_keys.in_folder(folder, s3_keys.DEFAULTS_FILE))
        for folder in folders
    }
    keys = list(dict.fromkeys(place for above in places.values() for place in above))
    records = ports.ledger.get_all([defaults_key(key) for key in keys])
    noted = {r.key.sort: r.document for r in records if r is not None}
    return {
        folder: [noted[place] for place in above if place in noted]
        for folder, above in places.items()
    }


def animates(above: Iterable[NotedDefaults]) -> bool:
    """Whether a dropped image is a job by itself. The closest folder that sets this decides."""
    said = (noted.animate_images for noted in above if noted.animate_images is not None)
    return next(said, False)
