"""Plans attempts: which waiting tasks share a processing job, and how many jobs are opened.

This module is pure: it reads and writes nothing. An earlier rule takes precedence over a later one:

1. An attempt has tasks of the same model folders, preset, LoRA and size class. It has at most
   `max_tasks` of them, and no more than are expected to end within a part (`FILL`) of its longest
   run.
2. Tasks of a higher priority come first. Among equal priorities the folders take turns, and the
   folder that was served longest ago is first. Within a folder the oldest task is first. Tasks of
   a lower priority join an attempt only while every task of a higher priority is in one, too.
3. Tasks over their folder's daily limit are held back, and tasks whose model is paused. When a
   pause is over, one attempt with one task, the least suspect one, tries the model again.
4. The waiting tasks are shared out, in that order, among as many attempts as there are free
   instances. Each task goes to the attempt that has least to do, so the attempts end together. If a
   busy instance will be free before everything is rendered, a share of the tasks is left for it.
   An attempt is opened only if it is worth its start-up: if it renders for at least `WORTH` times
   as long as it takes to start, or if it is full. One attempt is always opened for a kind of task
   that is not running, so a first drop starts at once. One is also opened if a task has waited for
   `PATIENCE`, or has high priority.

Rule 4 is the only reason why a manifest has more tasks when more tasks wait.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from contract.catalogue import Preset, folder_of
from functions.table.day_limits import Day
from functions.table.ledger import PRIORITIES
from functions.table.records import Lease, QueueEntry

FILL = 0.8
"""Part of an attempt's longest run that its tasks are expected to take. An estimate may be a
quarter too low before the last tasks are cut off and tried again."""
WORTH = 4.0
"""An attempt must render for this many times its start-up. docs/performance.md compares other
values."""
PATIENCE = timedelta(minutes=5)
"""How long a task waits for others that could share its start-up, while its kind is running."""


class Kind(NamedTuple):
    """What the tasks of an attempt have in common."""

    model: str
    folder: str | None
    """The model folder. Modes that have the same one share what is loaded."""
    preset: Preset
    size_class: int
    lora: str = ""
    with_image_model: bool = False
    """Whether they also need the folder for image to video."""


@dataclass(frozen=True)
class Situation:
    """Everything that a plan is made from."""

    line: Sequence[QueueEntry]
    """Waiting tasks: the oldest ones of each priority and folder."""
    running: Collection[Kind]
    """Kinds of task that have an open attempt."""
    free: int
    """How many attempts may be opened."""
    busy_until: Sequence[datetime]
    """When the open attempts are expected to end."""
    served: Sequence[str]
    """Folders in the order of their last turn, the latest last."""
    days: Mapping[str, Day]
    """What may be started today and was started, for each folder that has limits."""
    paused: Mapping[str, datetime]
    """The models that are paused, and until when."""
    max_tasks: int
    max_runtime_seconds: float
    now: datetime
    gpus: int = 1
    """How many tasks an attempt renders at the same time."""


@dataclass(frozen=True)
class Expected:
    """How long a task takes on the instance type that attempts are opened on now."""

    startup_seconds: float
    render_seconds: float


@dataclass(frozen=True)
class PlannedAttempt:
    """An attempt to open."""

    kind: Kind
    entries: tuple[QueueEntry, ...]
    seconds: float
    """How long the attempt is expected to take, with its start-up."""


@dataclass(frozen=True)
class Plan:
    """Which attempts to open now, and which tasks to hold back."""

    attempts: tuple[PlannedAttempt, ...]
    over_limit: tuple[QueueEntry, ...]
    """Tasks that their folder's daily limit holds back today."""
    paused: tuple[QueueEntry, ...]
    """Tasks whose model is paused."""


def kind_of(what: QueueEntry | Lease) -> Kind:
    """What a task must have in common with the others of its attempt."""
    folder = folder_of(what.model, what.mode)
    return Kind(what.model, folder, what.preset, what.size_class, what.lora, what.with_image_model)


def plan(situation: Situation, expect: Callable[[QueueEntry], Expected]) -> Plan:
    """Decide which attempts to open now.

    Args:
        expect: how long a task takes, with the start-up that it needs.
    """
    order = in_order(situation.line, situation.served)
    order, paused = _not_paused(order, situation)
    allowed, over_limit = _within_limits(order, situation, expect)
    allowed, left_over = _one_for_each_probe(allowed, situation)
    attempts: list[PlannedAttempt] = []
    kinds = list(dict.fromkeys(kind_of(entry) for entry in allowed))
    chosen = kinds[: situation.free]
    left_out = [_rank(entry) for entry in allowed if kind_of(entry) not in chosen]
    lowest = min(left_out, default=len(PRIORITIES))
    for number, kind in enumerate(chosen):
        mine = [e for e in allowed if kind_of(e) == kind and _rank(e) <= lowest]
        # An instance is left for each kind that follows.
        free = situation.free - len(attempts) - (len(chosen) - number - 1)
        attempts += _deal(mine, kind, free, situation, expect)
    return Plan(tuple(attempts), tuple(over_limit), (*paused, *left_over))


def _rank(entry: QueueEntry) -> int:
    return PRIORITIES.index(entry.priority)


def in_order(line: Iterable[QueueEntry], served: Sequence[str]) -> list[QueueEntry]:
    """The queue in the order of rule 2.

    Args:
        served: folders in the order of their last turn, the latest last.
    """
    turn = {folder: number for number, folder in enumerate(served)}
    folders: defaultdict[tuple[int, str], list[QueueEntry]] = defaultdict(list)
    for entry in sorted(line, key=lambda e: (e.queued_at, e.task_id)):
        folders[_rank(entry), entry.folder].append(entry)
    ranked = [
        ((rank, place, turn.get(folder, -1), entry.queued_at, entry.task_id), entry)
        for (rank, folder), entries in folders.items()
        for place, entry in enumerate(entries)
    ]
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]


def _not_paused(
    order: Sequence[QueueEntry], situation: Situation
) -> tuple[list[QueueEntry], list[QueueEntry]]:
    """Separate the tasks that may run from those whose model is paused.

    When a pause is over, the model's tasks may run again, but see `_one_for_each_probe`.
    """
    running = {kind.model for kind in situation.running}
    paused = {
        model
        for model, until in situation.paused.items()
        if situation.now < until or model in running
    }
    return (
        [entry for entry in order if entry.model not in paused],
        [entry for entry in order if entry.model in paused],
    )


def _one_for_each_probe(
    allowed: Sequence[QueueEntry], situation: Situation
) -> tuple[list[QueueEntry], list[QueueEntry]]:
    """Leave one task, the least suspect one, of each model whose pause is over."""
    probes: dict[str, QueueEntry] = {}
    for entry in allowed:
        best = probes.get(entry.model)
        if entry.model in situation.paused and (not best or entry.suspicion < best.suspicion):
            probes[entry.model] = entry
    chosen = [e for e in allowed if probes.get(e.model, e) == e]
    return chosen, [e for e in allowed if probes.get(e.model, e) != e]


def _within_limits(
    order: Iterable[QueueEntry], situation: Situation, expect: Callable[[QueueEntry], Expected]
) -> tuple[list[QueueEntry], list[QueueEntry]]:
    days = dict(situation.days)
    allowed: list[QueueEntry] = []
    held: list[QueueEntry] = []
    for entry in order:
        day = days.get(entry.folder)
        if day is None or entry.counted_on == day.usage.day:
            allowed.append(entry)
            continue
        after = day.plus(expect(entry).render_seconds)
        if after.is_within:
            days[entry.folder] = after
            allowed.append(entry)
        else:
            held.append(entry)
    return allowed, held


def _deal(
    entries: Sequence[QueueEntry],
    kind: Kind,
    free: int,
    situation: Situation,
    expect: Callable[[QueueEntry], Expected],
) -> list[PlannedAttempt]:
    """Share the tasks of one kind out among at most `free` attempts."""
    startup = max(expect(entry).startup_seconds for entry in entries)
    alone = {entry.task_id: expect(entry).render_seconds for entry in entries}
    seconds = {task_id: one / situation.gpus for task_id, one in alone.items()}
    room = FILL * situation.max_runtime_seconds - startup
    rendering = sum(seconds.values())
    worth = max(int(rendering / max(WORTH * startup, 1.0)), len(entries) // situation.max_tasks)
    oldest = min(entry.queued_at for entry in entries)
    at_once = (
        kind not in situation.running
        or situation.now - oldest >= PATIENCE
        or any(entry.priority == "high" for entry in entries)
    )
    # A busy instance gets a share if it will be free before the free ones could render everything.
    horizon = situation.now + timedelta(seconds=startup + rendering / free)
    soon = sum(end <= horizon for end in situation.busy_until)
    wanted = min(free + soon, max(worth, 1 if at_once else 0))
    count = min(free, wanted)
    share = rendering / wanted if wanted > count else math.inf
    shares = _shares(entries, seconds, count, situation.max_tasks, room=room, share=share)
    return [
        PlannedAttempt(
            kind,
            dealt,
            startup
            + max(
                sum(seconds[entry.task_id] for entry in dealt),
                *(alone[entry.task_id] for entry in dealt),
            ),
        )
        for dealt in shares
        if dealt
    ]


def _shares(
    entries: Sequence[QueueEntry],
    seconds: Mapping[str, float],
    count: int,
    max_tasks: int,
    *,
    room: float,
    share: float,
) -> list[tuple[QueueEntry, ...]]:
    """Give each task, in order, to the one of `count` shares that has least to do.

    Args:
        seconds: how long each task takes.
        room: what a share of several tasks takes at most.
        share: a share that takes so long gets no further task.
    """
    shares: list[list[QueueEntry]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for entry in entries:
        open_ones = [
            index
            for index in range(count)
            if len(shares[index]) < max_tasks
            and loads[index] < share
            and (not shares[index] or loads[index] + seconds[entry.task_id] <= room)
        ]
        if not open_ones:
            break
        least = min(open_ones, key=lambda index: loads[index])
        shares[least].append(entry)
        loads[least] += seconds[entry.task_id]
    # The worker renders in this order. So a task that ends the process does not hide the others.
    return [tuple(sorted(dealt, key=lambda entry: entry.suspicion)) for dealt in shares]
