"""Reads what was learned from finished processing jobs about how long rendering takes."""

from functions.table.ledger import LEARNED, WithLedger
from functions.table.records import Learned


def learned_rates(ports: WithLedger) -> Learned:
    """The rates that were learned so far; empty if nothing was learned."""
    record = ports.ledger.get(LEARNED)
    return record.document if record else Learned()
