"""Plans processing jobs: which waiting tasks go together, and into how many jobs. Pure.

The rules, in the order in which they bind:

1. A job has tasks of one model, mode and size class. It has at most `max_tasks` of them, and no
   more than are expected to end within a part (`FILL`) of its longest run.
2. Priority comes first. Among equal priorities folders take turns, and the one served longest ago
   is first. Within a folder the oldest task is first. Tasks of a lower priority join a job only
   while every task of a higher priority has a job, too.
3. Tasks over their folder's daily limit are held back.
4. The waiting tasks are shared out, in that order, to as many jobs as there are free instances.
   Each task goes to the job that has least to do, so the jobs end together. Instances that will be
   free before everything is rendered are left their share. A job is opened only when it is worth
   its start-up: it renders for at least `WORTH` times as long as it takes to start, or it is full.
   One job is always opened for a kind of task that is not running, so a first drop starts at once.
   One is also opened for a task that has waited for `PATIENCE`, or that has high priority.

Manifests grow with the backlog because of rule 4 alone.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.catalogue import Mode
from functions.spec.folder_defaults import DayLimits
from functions.table.ledger import PRIORITIES
from functions.table.records import Lease, QueueEntry, Usage

FILL = 0.8
"""Part of a job's longest run that its tasks are expected to take: an estimate may be wrong by a
quarter before the last of them are cut off and tried again."""
WORTH = 4.0
"""How many times its start-up a job must render. docs/performance.md compares other values."""
PATIENCE = timedelta(minutes=5)
"""How long a task waits for others to share a job with, while a job of its kind runs."""
Kind = tuple[str, Mode, int]
"""Model, mode and size class: tasks of one kind may share a job."""


@dataclass(frozen=True)
class Situation:
    """Everything that a plan is made from."""

    line: Sequence[QueueEntry]
    """Waiting tasks: the oldest ones of each priority and folder."""
    running: Collection[Kind]
    """Kinds of task that have an open attempt."""
    free: int
    """How many jobs may be opened."""
    busy_until: Sequence[datetime]
    """When the open attempts are expected to end."""
    served: Sequence[str]
    """Folders in the order of their last turn, the latest last."""
    limits: DayLimits
    """Daily limits of every folder. A folder may have smaller ones."""
    usages: Mapping[str, Usage]
    """What was started today, for each folder that has limits."""
    max_tasks: int
    max_runtime_seconds: float
    now: datetime


@dataclass(frozen=True)
class Expected:
    """How long things take on the instance type that jobs are opened on now."""

    startup_seconds: float
    render_seconds: float


@dataclass(frozen=True)
class Planned:
    """A job to open."""

    kind: Kind
    entries: tuple[QueueEntry, ...]
    seconds: float
    """How long it is expected to take, with its start-up."""


@dataclass(frozen=True)
class Plan:
    """What to do."""

    jobs: tuple[Planned, ...]
    held: tuple[QueueEntry, ...]
    """Tasks that their folder's daily limit holds back today."""


def kind_of(what: QueueEntry | Lease) -> Kind:
    """What a task must share with the others of its job."""
    return what.model, what.mode, what.size_class


def plan(situation: Situation, expect: Callable[[QueueEntry], Expected]) -> Plan:
    """The jobs to open now."""
    order = in_order(situation.line, situation.served)
    allowed, held = _within_limits(order, situation, expect)
    jobs: list[Planned] = []
    kinds = list(dict.fromkeys(kind_of(entry) for entry in allowed))
    chosen = kinds[: situation.free]
    left_out = [_rank(entry) for entry in allowed if kind_of(entry) not in chosen]
    lowest = min(left_out, default=len(PRIORITIES))
    for number, kind in enumerate(chosen):
        mine = [e for e in allowed if kind_of(e) == kind and _rank(e) <= lowest]
        # An instance is left for each kind that follows.
        free = situation.free - len(jobs) - (len(chosen) - number - 1)
        jobs += _deal(mine, kind, free, situation, expect)
    return Plan(tuple(jobs), tuple(held))


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


def _within_limits(
    order: Iterable[QueueEntry], situation: Situation, expect: Callable[[QueueEntry], Expected]
) -> tuple[list[QueueEntry], list[QueueEntry]]:
    usages = dict(situation.usages)
    allowed: list[QueueEntry] = []
    held: list[QueueEntry] = []
    for entry in order:
        usage = usages.get(entry.folder)
        if usage is None or entry.counted_on == usage.day:
            allowed.append(entry)
            continue
        after = usage.plus(expect(entry).render_seconds)
        if after.within(situation.limits) and after.within(usage.limits):
            usages[entry.folder] = after
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
) -> list[Planned]:
    """Share the tasks of one kind out to at most `free` jobs."""
    startup = max(expect(entry).startup_seconds for entry in entries)
    seconds = {entry.task_id: expect(entry).render_seconds for entry in entries}
    room = FILL * situation.max_runtime_seconds - startup
    rendering = sum(seconds.values())
    worth = max(int(rendering / max(WORTH * startup, 1.0)), len(entries) // situation.max_tasks)
    oldest = min(entry.queued_at for entry in entries)
    at_once = (
        kind not in situation.running
        or situation.now - oldest >= PATIENCE
        or any(entry.priority == "high" for entry in entries)
    )
    # Instances that will be free before the free ones could have rendered everything get a share.
    horizon = situation.now + timedelta(seconds=startup + rendering / free)
    soon = sum(end <= horizon for end in situation.busy_until)
    wanted = min(free + soon, max(worth, 1 if at_once else 0))
    count = min(free, wanted)
    share = rendering / wanted if wanted > count else math.inf
    shares: list[list[QueueEntry]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for entry in entries:
        open_ones = [
            index
            for index in range(count)
            if len(shares[index]) < situation.max_tasks
            and loads[index] < share
            and (not shares[index] or loads[index] + seconds[entry.task_id] <= room)
        ]
        if not open_ones:
            break
        least = min(open_ones, key=lambda index: loads[index])
        shares[least].append(entry)
        loads[least] += seconds[entry.task_id]
    return [
        Planned(kind, tuple(dealt), startup + load)
        for dealt, load in zip(shares, loads, strict=True)
        if dealt
    ]
