"""The plan: which tasks share an attempt, in which order, and how many attempts are opened."""

from collections import Counter
from collections.abc import Set
from datetime import UTC, date, datetime, timedelta

from contract.catalogue import Mode, Preset, folder_of
from functions.planning.batching import (
    FILL,
    WORTH,
    Expected,
    Kind,
    Plan,
    Situation,
    kind_of,
    plan,
)
from functions.spec.fields import Priority
from functions.spec.folder_defaults import DayLimits
from functions.table.day_limits import Day
from functions.table.records import QueueEntry, TaskRef, Usage

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STARTUP, RENDER = 360.0, 200.0


def entry(
    number: int,
    *,
    folder: str = "",
    priority: Priority = "normal",
    model: str = "m",
    size: int = 24,
    preset: Preset = Preset.STANDARD,
    counted_on: date | None = None,
    suspicion: int = 0,
) -> QueueEntry:
    """An entry of the queue. A higher number means that it was queued later."""
    return QueueEntry(
        task=TaskRef(job_id=f"j{number}", number=1),
        task_id=f"j{number:05d}-01",
        model=model,
        mode=Mode.TEXT_TO_VIDEO,
        preset=preset,
        priority=priority,
        folder=folder,
        counted_on=counted_on,
        queued_at=NOW - timedelta(seconds=60 - number / 1000),
        size_class=size,
        work=1.0,
        suspicion=suspicion,
    )


def planned(
    line: list[QueueEntry],
    *,
    free: int = 1,
    running: Set[str] = frozenset(),
    served: tuple[str, ...] = (),
    days: dict[str, Day] | None = None,
    max_tasks: int = 128,
    max_runtime_seconds: float = 36_000,
    waited: timedelta = timedelta(0),
    busy_minutes: tuple[float, ...] = (),
    paused_minutes: dict[str, float] | None = None,
    gpus: int = 1,
) -> Plan:
    situation = Situation(
        line=line,
        running={Kind(m, folder_of(m, Mode.TEXT_TO_VIDEO), Preset.STANDARD, 24) for m in running},
        free=free,
        busy_until=[NOW + timedelta(minutes=minutes) for minutes in busy_minutes],
        served=served,
        days=days or {},
        paused={m: NOW + timedelta(minutes=n) for m, n in (paused_minutes or {}).items()},
        max_tasks=max_tasks,
        max_runtime_seconds=max_runtime_seconds,
        now=NOW + waited,
        gpus=gpus,
    )
    return plan(situation, lambda e: Expected(STARTUP, RENDER * e.work))


def day(tasks: int = 0, gpu_seconds: float = 0.0, **limits: int) -> Day:
    usage = Usage(day=NOW.date(), tasks=tasks, gpu_seconds=gpu_seconds)
    return Day(1, usage, DayLimits(**limits))


def sizes(found: Plan) -> list[int]:
    return [len(attempt.entries) for attempt in found.attempts]


def names(found: Plan, attempt: int = 0) -> list[int]:
    """The numbers of the tasks in an attempt, in their order."""
    return [int(e.task.job_id[1:]) for e in found.attempts[attempt].entries]


def test_an_empty_queue_needs_no_attempt() -> None:
    assert planned([]) == Plan((), (), ())


def test_a_first_drop_starts_at_once() -> None:
    assert sizes(planned([entry(1)], free=4)) == [1]


def test_an_instance_with_four_gpus_is_worth_its_start_up_with_four_times_as_many_tasks() -> None:
    def started(count: int) -> list[int]:
        return sizes(planned([entry(n) for n in range(count)], free=2, running={"m"}, gpus=4))

    assert (started(28), started(32)) == ([], [32])
    few, many = (planned([entry(n) for n in range(n)], gpus=4).attempts[0] for n in (2, 8))
    assert few.seconds == STARTUP + RENDER, "one task is on one GPU"
    assert many.seconds == STARTUP + 2 * RENDER
    tasks = [entry(n) for n in range(100)]
    limits = [sizes(planned(tasks, max_runtime_seconds=4000, gpus=n))[0] for n in (1, 4)]
    assert limits[1] == 4 * limits[0]


def test_another_attempt_of_a_running_kind_must_be_worth_its_start_up() -> None:
    assert sizes(planned([entry(1)], free=3, running={"m"})) == []
    assert WORTH * STARTUP == 1440, "WORTH start-ups are as long as eight tasks of 200 s"
    assert sizes(planned([entry(n) for n in range(7)], free=3, running={"m"})) == []
    assert sizes(planned([entry(n) for n in range(8)], free=3, running={"m"})) == [8]
    assert sizes(planned([entry(n) for n in range(4)], free=3, running={"m"}, max_tasks=3)) == [3]
    assert sizes(planned([entry(1)], free=3, running={"other"})) == [1]


def test_no_task_waits_long_for_others_and_a_high_priority_does_not_wait() -> None:
    late = timedelta(minutes=5)
    assert sizes(planned([entry(1)], free=3, running={"m"}, waited=late)) == [1]
    assert sizes(planned([entry(1, priority="high")], free=3, running={"m"})) == [1]


def test_a_large_backlog_is_shared_out_evenly() -> None:
    found = planned([entry(n) for n in range(103)], free=4)
    assert sizes(found) == [26, 26, 26, 25]
    assert names(found)[:3] == [0, 4, 8], "the oldest tasks are the first of their attempts"


def test_attempts_end_together_when_tasks_differ_in_length() -> None:
    line = [entry(n).model_copy(update={"work": 4.0 if n % 5 == 0 else 1.0}) for n in range(40)]
    attempts = planned(line, free=4).attempts
    loads = [sum(e.work for e in attempt.entries) for attempt in attempts]
    assert max(loads) - min(loads) <= 4


def test_an_instance_that_is_free_soon_is_left_its_share() -> None:
    line = [entry(n) for n in range(32)]
    assert sizes(planned(line, busy_minutes=(3, 3, 3), running={"m"})) == [8]
    assert sizes(planned(line, busy_minutes=(300, 300, 300), running={"m"})) == [32]
    assert sizes(planned(line, busy_minutes=(3, 300, 300), running={"m"})) == [16]
    assert sizes(planned([entry(1)], busy_minutes=(3, 3, 3))) == [1]


def test_a_small_backlog_shares_one_start_up() -> None:
    assert sizes(planned([entry(n) for n in range(14)], free=4)) == [14]
    assert sizes(planned([entry(n) for n in range(15)], free=4)) == [8, 7]


def test_an_attempt_has_no_more_tasks_than_are_allowed_or_fit_its_longest_run() -> None:
    line = [entry(n) for n in range(500)]
    assert sizes(planned(line, free=2)) == [128, 128]
    found = planned(line, free=2, max_runtime_seconds=7200)
    assert sizes(found) == [27, 27]
    assert STARTUP + 27 * RENDER <= FILL * 7200 < STARTUP + 28 * RENDER
    assert sizes(planned(line, max_runtime_seconds=60)) == [1], "one task is always allowed"


def test_only_tasks_of_one_kind_share_an_attempt() -> None:
    draft = entry(5, preset=Preset.DRAFT)
    line = [entry(1), entry(2, model="x"), entry(3, size=25), entry(4), draft]
    found = planned(line, free=9)
    assert [names(found, n) for n in range(4)] == [[1, 4], [2], [3], [5]]
    assert all(len({kind_of(e) for e in attempt.entries}) == 1 for attempt in found.attempts)


def test_every_kind_gets_one_instance_before_a_kind_gets_two() -> None:
    line = [*(entry(n) for n in range(100)), entry(200, model="x"), entry(201, size=25)]
    assert sizes(planned(line, free=3)) == [100, 1, 1]
    assert sizes(planned(line, free=5)) == [34, 33, 33, 1, 1]


def test_tasks_are_ordered_by_priority_then_folder_turn_then_age() -> None:
    line = [
        *(entry(n, folder="big") for n in range(6)),
        entry(6, folder="small"),
        entry(7, folder="small"),
        entry(8, folder="urgent", priority="high"),
        entry(9, folder="small", priority="low"),
    ]
    assert names(planned(line)) == [8, 0, 6, 1, 7, 2, 3, 4, 5, 9]


def test_the_folder_served_longest_ago_comes_first() -> None:
    line = [entry(1, folder="a"), entry(2, folder="b"), entry(3, folder="c")]
    assert names(planned(line, served=("b", "a"))) == [3, 2, 1]


def test_a_folder_with_thousands_of_tasks_does_not_delay_another() -> None:
    line = [*(entry(n, folder="big") for n in range(1000)), entry(5000, folder="one")]
    assert names(planned(line))[1] == 5000


def test_a_lower_priority_does_not_go_before_a_higher_one_of_another_kind() -> None:
    line = [entry(1), entry(2, model="x"), entry(3, priority="low")]
    assert names(planned(line)) == [1]
    found = planned(line, free=2)
    assert [names(found, n) for n in range(2)] == [[1, 3], [2]]


def test_tasks_over_their_folders_daily_limit_are_held() -> None:
    line = [entry(n, folder=f) for n, f in enumerate(("a", "a", "b", "a"))]
    found = planned(line, days={"a": day(1, RENDER, videos=3)})
    assert names(found) == [0, 2, 1] and [e.task_id for e in found.over_limit] == ["j00003-01"]
    found = planned(line, days={"a": day(1, RENDER, gpu_minutes=7)})
    assert names(found) == [0, 2] and len(found.over_limit) == 2


def test_a_task_that_is_tried_again_is_not_counted_again() -> None:
    line = [entry(1, folder="a"), entry(2, folder="a", counted_on=NOW.date())]
    found = planned(line, days={"a": day(1, videos=1)})
    assert names(found) == [2] and len(found.over_limit) == 1


def test_tasks_of_a_paused_model_wait_and_do_not_delay_others() -> None:
    line = [entry(1), entry(2, model="x"), entry(3)]
    found = planned(line, paused_minutes={"m": 5})
    assert names(found) == [2] and [e.task.job_id for e in found.paused] == ["j1", "j3"]


def test_after_a_pause_the_least_suspect_task_goes_alone() -> None:
    line = [entry(1, suspicion=2), entry(2, suspicion=1), entry(3, suspicion=1)]
    found = planned(line, free=3, paused_minutes={"m": 0})
    assert sizes(found) == [1] and names(found) == [2] and len(found.paused) == 2
    found = planned(line, free=3, paused_minutes={"m": 0}, running={"m"})
    assert sizes(found) == [] and len(found.paused) == 3


def test_after_a_pause_a_task_within_its_daily_limit_is_chosen() -> None:
    line = [entry(1, folder="a"), entry(2, folder="b", suspicion=5)]
    assert names(planned(line, days={"a": day(1, videos=1)}, paused_minutes={"m": -1})) == [2]


def test_an_attempt_renders_suspect_tasks_last() -> None:
    assert names(planned([entry(1, suspicion=3), entry(2), entry(3, suspicion=1)])) == [2, 3, 1]


def test_a_plan_has_no_task_twice() -> None:
    line = [
        entry(n, folder=str(n % 7), model=f"m{n % 3}", priority=("high", "normal", "low")[n % 3])
        for n in range(300)
    ]
    found = planned(line, free=6, days={"3": day(videos=5)})
    seen = Counter(e.task_id for attempt in found.attempts for e in attempt.entries)
    seen.update(e.task_id for e in found.over_limit)
    assert set(seen.values()) == {1} and set(seen) <= {e.task_id for e in line}
