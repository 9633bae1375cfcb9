"""Simulates what sharing a start-up saves, and how long people wait: `make bench-batching`.

The real stages run over fakes, with a simulated clock. How long a start-up, the loading of weights
and a video take are parameters. They are the values stated in functions/planning/estimate.py, and
were not measured. `one-job-a-video` is the same system with `max_tasks_per_job` 1.

Writes bench/results/batching.json and docs/images/batching-*.png; docs/performance.md shows them.
"""

import heapq
import itertools
import random
import statistics
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from bench import plot
from bench.results import write
from contract.catalogue import Mode, Preset
from contract.manifest import ManifestTask
from functions import s3_keys
from functions.planning import batching, estimate
from functions.stages.dispatch import dispatch
from functions.stages.finish import attempt_ended, file_written
from functions.stages.ports import Ports
from functions.stages.renderer import ProcessingJob
from functions.stages.submit import submit
from functions.table.ledger import QUEUE
from functions.table.records import Learned, QueueEntry
from local import ROOT
from tests.fakes import SETTINGS, FakeRenderer, World, clear_read_cache, replace_settings

MODEL, INSTANCE_TYPE = "cogvideox-5b", "ml.g6e.xlarge"
SPEC = f"prompt: a bee\nmodel: {MODEL}\nenhance: false\n"
_RATE = estimate.rate_of(Learned(), MODEL, Mode.TEXT_TO_VIDEO, Preset.STANDARD, INSTANCE_TYPE)
STARTUP_SECONDS = _RATE.startup_seconds
LOADING_SECONDS = _RATE.loading_seconds
RENDER_SECONDS = 200.0
HAND_OVER_SECONDS = 0.2
"""Between two videos of an attempt."""
ENDING_SECONDS = 10.0
"""From the last video to the end of the attempt."""
BURST_SECONDS, DAY_SECONDS = 60.0, 86_400.0
SWEEP_SECONDS = 300.0
_MEASURED_EVERY = 10
# How many wake-ups one dispatch may serve, as set in stacks/reeldrop.py.
WAKES_TOGETHER = 10


@dataclass(frozen=True)
class Policy:
    """Settings of the planning that are compared with each other."""

    name: str
    max_tasks: int = 128
    worth: float = batching.WORTH


OURS = Policy("backlog")
ALONE = Policy("one-job-a-video", max_tasks=1)
# Other values of `WORTH` than the one in functions/planning/batching.py.
OTHERS = (Policy("always spread", worth=0.0), Policy("worth one start-up", worth=1.0))


@dataclass(frozen=True)
class Row:
    """The results of one run."""

    drops: int
    arrival: str
    instances: int
    policy: str
    processing_jobs: int
    gpu_minutes: float
    overhead_seconds_per_video: float
    """GPU time that is paid for and is not rendering."""
    cost_usd: float
    makespan_minutes: float
    wait_p50_minutes: float
    """From the drop to the published video."""
    wait_p95_minutes: float
    first_video_minutes: float
    calls_per_drop: float
    """Calls of all ports, from the drop to the mail."""
    peak_kib_submit: float
    """Peak memory of accepting a drop: the 95th percentile of the measured runs. The maximum would
    include runs in which the stand-ins for AWS grew."""
    peak_kib_finish: float
    """The same for publishing a video."""
    peak_kib_dispatch: float
    """Peak memory of a dispatch: the maximum of all runs."""
    list_calls: int
    most_entries_read: int
    """The most entries of the queue that one dispatch read."""


class _Renderer(FakeRenderer):
    """Calls `created` for each processing job that is created."""

    def __init__(self, created: Callable[[str], None]) -> None:
        super().__init__()
        self._created = created

    def start(self, job: ProcessingJob) -> None:
        super().start(job)
        self._created(job.attempt_id)


@dataclass
class Bench(World):
    """A world with a simulated clock: what is due next happens next."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.renderer = _Renderer(self._created)
        self.calls: Counter[str] = Counter()
        self.began: dict[str, datetime] = {}
        self.gpu_seconds = 0.0
        self.dropped_at: dict[str, float] = {}
        self.done_at: dict[str, float] = {}
        self.entries_read = self.most_entries_read = 0
        self._start = self.clock()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._dispatch_is_due = False
        self._runs: Counter[str] = Counter()
        self.peaks_kib: defaultdict[str, list[float]] = defaultdict(list)
        self._counted = self._counting_ports()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return (self.clock() - self._start).total_seconds()

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` at a time.

        Args:
            seconds: the time, in seconds since the beginning.
        """
        heapq.heappush(self._heap, (seconds, next(self._order), act))

    def run(self) -> None:
        """Run until nothing is left to do."""
        while self._heap:
            seconds, _, act = heapq.heappop(self._heap)
            self.clock.move(seconds=max(0.0, seconds - self.seconds))
            act()

    def person_drops(self, number: int) -> None:
        """Drop a file, and deliver its event."""
        key = f"jobs/{number}.yaml"
        self.dropped_at[str(number)] = self.seconds
        self.files.write("input", key, SPEC.encode(), "x")
        version = self.files.facts("input", key).version
        self._measured("submit", lambda: submit(self._counted, "input", key, version))

    def sweep(self) -> None:
        """Wake dispatch if anything is queued, as the sweep does."""
        if self.ledger.query(QUEUE, QueueEntry, limit=1):
            self._wake()
        if len(self.done_at) < len(self.dropped_at) or self._heap:
            self.at(self.seconds + SWEEP_SECONDS, self.sweep)

    def _wake(self, *, delay_seconds: int = 0) -> None:
        if delay_seconds:
            self.at(self.seconds + delay_seconds, self._wake)
            return
        self.wakes += 1
        if not self._dispatch_is_due:
            self._dispatch_is_due = True
            self.at(self.seconds + 0.2, self._dispatch)

    def _dispatch(self) -> None:
        self.wakes -= min(self.wakes, WAKES_TOGETHER)
        self._dispatch_is_due = False
        self.entries_read = 0
        self._measured("dispatch", lambda: dispatch(self._counted), every=1)
        self.most_entries_read = max(self.most_entries_read, self.entries_read)
        if self.wakes:
            self._dispatch_is_due = True
            self.at(self.seconds + 0.2, self._dispatch)

    def _created(self, attempt_id: str) -> None:
        self.began[attempt_id] = self.clock()
        at = self.seconds + STARTUP_SECONDS + LOADING_SECONDS
        for task in self.manifest(attempt_id).tasks:
            at += RENDER_SECONDS
            self.at(at, lambda task=task: self._task_done(attempt_id, task))  # type: ignore[misc]
            at += HAND_OVER_SECONDS
        self.at(at + ENDING_SECONDS, lambda: self._job_done(attempt_id))

    def _task_done(self, attempt_id: str, task: ManifestTask) -> None:
        self.write_result(attempt_id, task)
        result = s3_keys.task_result(attempt_id, task.task_id)
        self._measured("finish", lambda: file_written(self._counted, result))
        self.done_at[task.task_id.split("-")[0]] = self.seconds

    def _job_done(self, attempt_id: str) -> None:
        self.gpu_seconds += (self.clock() - self.began[attempt_id]).total_seconds()
        self.renderer.end(attempt_id, "Completed")
        attempt_ended(self._counted, attempt_id)

    def _measured(self, name: str, act: Callable[[], None], every: int = _MEASURED_EVERY) -> None:
        """Run `act`. One of `every` runs is measured, because measuring the memory is slow."""
        before = self._runs[name]
        self._runs[name] += 1
        if before % every:
            act()
            return
        clear_read_cache()
        tracemalloc.start()
        act()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.peaks_kib[name].append(peak / 1024)

    def _counting_ports(self) -> Ports:
        def counted(name: str, port: Any) -> Any:
            def watch(method: str) -> Callable[..., Any]:
                call = getattr(port, method)

                def wrapped(*arguments: Any, **named: Any) -> Any:
                    self.calls[f"{name}.{method}"] += 1
                    answer = call(*arguments, **named)
                    if method == "query" and arguments[0] == QUEUE:
                        self.entries_read += len(answer)
                    return answer

                return wrapped

            methods = [m for m in dir(port) if not m.startswith("_") and callable(getattr(port, m))]
            return type(name, (), {m: staticmethod(watch(m)) for m in methods})()

        plain = self.ports
        return replace(
            plain,
            ledger=counted("ledger", plain.ledger),
            files=counted("files", plain.files),
            renderer=counted("renderer", plain.renderer),
            post=counted("post", plain.post),
            bus=counted("bus", plain.bus),
        )


def run(drops: int, arrival: str, instances: int, policy: Policy) -> Row:
    """Run one case, from the first drop to the last video.

    Args:
        arrival: "burst" or "day": how the drops are spread over time.
    """
    settings = replace_settings(
        SETTINGS,
        max_tasks_per_job=policy.max_tasks,
        max_processing_jobs=instances,
        max_runtime_seconds=36_000,
        instance_types=INSTANCE_TYPE,
    )
    bench = Bench(settings=settings)
    rng = random.Random(drops)
    span = BURST_SECONDS if arrival == "burst" else DAY_SECONDS
    times = [0.0, *sorted(rng.uniform(0, span) for _ in range(drops - 1))]
    for number, seconds in enumerate(times):
        bench.at(seconds, lambda n=number: bench.person_drops(n))  # type: ignore[misc]
    bench.at(SWEEP_SECONDS, bench.sweep)
    before, batching.WORTH = batching.WORTH, policy.worth
    try:
        bench.run()
    finally:
        batching.WORTH = before
    assert len(bench.done_at) == len(bench.post.sent) == drops, (
        "every drop must have its video and its mail"
    )
    waits = sorted((bench.done_at[n] - at) / 60 for n, at in bench.dropped_at.items())
    return Row(
        drops=drops,
        arrival=arrival,
        instances=instances,
        policy=policy.name,
        processing_jobs=len(bench.began),
        gpu_minutes=round(bench.gpu_seconds / 60, 1),
        overhead_seconds_per_video=round(bench.gpu_seconds / drops - RENDER_SECONDS, 2),
        cost_usd=round(bench.gpu_seconds / 3600 * estimate.USD_PER_HOUR[INSTANCE_TYPE], 2),
        makespan_minutes=round(max(bench.done_at.values()) / 60, 1),
        wait_p50_minutes=round(statistics.median(waits), 1),
        wait_p95_minutes=round(_p95(waits), 1),
        first_video_minutes=round(min(waits), 2),
        calls_per_drop=round(sum(bench.calls.values()) / drops, 1),
        peak_kib_submit=round(_p95(bench.peaks_kib["submit"]), 0),
        peak_kib_finish=round(_p95(bench.peaks_kib["finish"]), 0),
        peak_kib_dispatch=round(max(bench.peaks_kib["dispatch"]), 0),
        list_calls=bench.calls["files.page"],
        most_entries_read=bench.most_entries_read,
    )


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def check(rows: list[Row]) -> None:
    """Check the claims of docs/performance.md.

    Raises:
        AssertionError: a claim does not hold.
    """
    found = {(r.drops, r.arrival, r.instances, r.policy): r for r in rows}

    def overhead(drops: int, policy: Policy) -> float:
        return found[drops, "burst", 1, policy.name].overhead_seconds_per_video

    assert overhead(32, OURS) <= overhead(32, ALONE) / 8
    assert overhead(256, OURS) <= 5
    for arrival, instances in itertools.product(("burst", "day"), (1, 8)):
        ours, alone = (found[1, arrival, instances, p.name] for p in (OURS, ALONE))
        assert ours.wait_p50_minutes <= alone.wait_p50_minutes
    assert all(row.list_calls == 0 for row in rows)
    many = [found[n, "burst", 8, OURS.name].calls_per_drop for n in (100, 1_000, 10_000)]
    assert max(many) <= 1.2 * min(many), many
    finish = [found[n, "burst", 8, OURS.name].peak_kib_finish for n in (100, 1_000, 10_000)]
    assert max(finish) <= 1.2 * min(finish), finish
    # submit reads at most the first entries of the queue, to find the place of the drop. So its
    # memory stays the same from some length of the queue on.
    submits = [found[n, "burst", 8, OURS.name].peak_kib_submit for n in (1_000, 10_000)]
    assert max(submits) <= 1.2 * min(submits), submits
    assert all(max(row.peak_kib_submit, row.peak_kib_finish) <= 150 for row in rows)
    assert all(row.most_entries_read <= 5_000 for row in rows)
    assert all(row.peak_kib_dispatch <= 64 * 1024 for row in rows)


def main() -> None:
    """Run all cases, write the results, draw the plots and check the claims."""
    run(1, "burst", 1, OURS)  # imports everything, so that imports are not measured
    rows = []
    counts = (1, 10, 32, 100, 256, 1_000)
    runs = [
        *itertools.product(counts, ("burst", "day"), (1, 8), (OURS, ALONE)),
        *itertools.product((10_000,), ("burst", "day"), (8,), (OURS, ALONE)),
        *itertools.product((32, 100, 256, 1_000), ("burst", "day"), (8,), OTHERS),
    ]
    for drops, arrival, instances, policy in runs:
        rows.append(run(drops, arrival, instances, policy))
        print(rows[-1], flush=True)
    what = (
        f"Simulated: {MODEL} on {INSTANCE_TYPE}, {RENDER_SECONDS:.0f} s a video, start-up "
        f"{STARTUP_SECONDS:.0f} s, weights {LOADING_SECONDS:.0f} s, {HAND_OVER_SECONDS} s between "
        f"videos, {ENDING_SECONDS:.0f} s at a job's end; burst: all within a minute, day: over 24 h"
    )
    print(write("batching", what, [asdict(row) for row in rows]))
    draw(rows)
    check(rows)


def draw(rows: list[Row]) -> None:
    """Write the plots."""
    for name, title, value in (
        ("overhead", "GPU seconds a video that are not rendering", "overhead_seconds_per_video"),
        ("wait", "minutes from drop to video, 95th percentile", "wait_p95_minutes"),
    ):
        lines = [
            plot.Line(
                f"{policy.name}, {instances} instance{'s' * (instances > 1)}",
                [
                    (float(r.drops), float(getattr(r, value)))
                    for r in rows
                    if (r.policy, r.instances, r.arrival) == (policy.name, instances, "burst")
                ],
            )
            for policy in (OURS, ALONE)
            for instances in (1, 8)
        ]
        plot.draw(
            ROOT / "docs" / "images" / f"batching-{name}.png",
            title=f"{title}; all dropped within a minute",
            across="drops",
            lines=lines,
        )


if __name__ == "__main__":
    main()
