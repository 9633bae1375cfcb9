"""What was learned from finished processing jobs."""

from functions.stages.ports import Ports
from functions.table.ledger import LEARNED
from functions.table.records import Learned


def learned_rates(ports: Ports) -> Learned:
    """What was learned so far."""
    record = ports.ledger.get(LEARNED)
    return record.document if record else Learned()
