"""What was learned from finished processing jobs about how long things take."""

from functions.table.ledger import LEARNED, WithLedger
from functions.table.records import Learned


def learned_rates(ports: WithLedger) -> Learned:
    """What was learned so far."""
    record = ports.ledger.get(LEARNED)
    return record.document if record else Learned()
