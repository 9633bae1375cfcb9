"""A burst of drops that asks the language model far more often than its quota allows."""

from collections import Counter
from functools import partial

import pytest

from functions.spec.language_model import Answer, LanguageModelBusy
from functions.table.records import State, Task
from tests.simulation.cloud import Faults, Simulation
from tests.simulation.stories import at

pytestmark = pytest.mark.no_cover

DROPS = 60
REQUESTS_A_MINUTE = 12


class Limited(Simulation):
    """The language model answers a number of requests in each minute."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answered: Counter[int] = Counter()

    def converse(
        self, system: str, user: str, max_tokens: int, image: bytes | None = None
    ) -> Answer:
        minute = int(self.now_seconds // 60)
        if self.answered[minute] >= REQUESTS_A_MINUTE:
            raise LanguageModelBusy("ThrottlingException")
        self.answered[minute] += 1
        return super().converse(system, user, max_tokens, image)


@pytest.mark.parametrize(
    "faults", [Faults(), Faults(kill=0.1, lose_event=0.1, duplicate_event=0.1)]
)
def test_every_prompt_of_a_burst_is_enhanced(faults: Faults) -> None:
    simulation = Limited(seed=1, faults=faults)
    simulation.set(max_tasks_per_job=128)
    for number in range(DROPS):
        key, body = f"jobs/{number}.yaml", f"prompt: bee {number}\n"
        at(simulation, number / 10, partial(simulation.person_drops, key, body))
    simulation.run(horizon_seconds=86_400)
    simulation.check()
    tasks = simulation.documents(Task)
    assert len(tasks) == DROPS and {task.state for task in tasks} == {State.SUCCEEDED}
    assert [task.enhancement.status for task in tasks].count("enhanced") == DROPS
    assert max(simulation.answered.values()) == REQUESTS_A_MINUTE, "the quota was used up"
    assert not simulation.dead_letters
