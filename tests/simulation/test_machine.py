"""Hypothesis chooses what people and AWS do in a simulation, and shrinks a failure.

A failure names its seed (`--hypothesis-seed`) and the shortest list of steps that reproduces it.
"""

import os
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from functions import s3_keys
from functions.stages.finish import attempt_ended
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table import day_limits
from functions.table.ledger import OPEN_ATTEMPTS, QUEUE, WAITING
from functions.table.records import Attempt, Job, QueueEntry, State, Waiting
from tests.fakes import PNG
from tests.simulation.cloud import (
    ANY_FUNCTION,
    SERVICES,
    SWEEP_EVERY_SECONDS,
    Faults,
    Handler,
    Simulation,
)

# Measuring coverage here would double the time, and it confuses the lines of greenlets.
pytestmark = pytest.mark.no_cover

WHOLE = os.environ.get("REELDROP_SIMULATE") == "whole"
NAMES = st.sampled_from(["a", "b", "x/c", "x/d"])
BODIES = st.sampled_from(
    [
        "prompt: one\n",
        "prompt: two\npriority: high\n",
        "image: /pic.png\n",
        "prompt: [",
        "prompt: planned\ndry_run: true\n",
        "prompt: many\nvariations: 3\n",
        "prompt: told later\nnotify: digest\n",
    ]
)
DEFAULTS = st.sampled_from(
    ["", "dry_run: true\n", "num_inference_steps: 3\n", "model: cogvideox-2b\n", "variations: 2\n"]
)
FAULTS = st.sampled_from(
    [
        "duplicate_event", "lose_event", "late_event", "kill", "throttle", "lose_acknowledgement",
        "worker_dies", "result_after_end", "capacity_error", "video_missing", "result_before_video",
        "early_ending", "post", "shown_again", "lose_answer", "conflict", "lambda_throttled",
    ]
)  # fmt: skip
# If every handler is killed or every call fails, nothing can happen.
MOST = {"kill": 0.6, "throttle": 0.1, "lose_answer": 0.1, "conflict": 0.25, "lambda_throttled": 0.6}
# How long work that two sweeps started after the last fault may take.
SETTLE_SECONDS = 6 * 3600
# How long the faults continue after the last step, so that they also affect the last drops.
RENDERING_SECONDS = 1500


class Cloud(RuleBasedStateMachine):
    """People drop and delete files while events are lost, doubled or late, handlers are killed and
    the quota is used up."""

    @initialize(
        seed=st.integers(0, 2**32 - 1),
        jobs=st.integers(1, 3),
        a_day=st.sampled_from([0, 0, 4]),
        faults=st.sets(FAULTS, max_size=3),
    )
    def begin(self, seed: int, jobs: int, a_day: int, faults: set[str]) -> None:
        self.cloud = Simulation(seed=seed, faults=Faults(until_seconds=10**9, outage_seconds=10**9))
        self.cloud.tasks_may_fail = True  # a rule may choose any fault later
        for fault in faults:
            setattr(self.cloud.faults, fault, min(0.4, MOST.get(fault, 1)))
        self.cloud.faults.dead_letters = ANY_FUNCTION
        self.cloud.set(
            max_processing_jobs=jobs,
            max_tasks_per_folder_day=a_day,
            instance_types="ml.p5.4xlarge,ml.g6e.xlarge",
        )

    @rule(name=NAMES, body=BODIES)
    def drop(self, name: str, body: str) -> None:
        self.cloud.person_drops(f"jobs/{name}.yaml", body)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.cloud.person_deletes(f"jobs/{name}.yaml")

    @rule(limit=st.sampled_from(["", "max_videos_per_day: 1\n", "max_gpu_minutes_per_day: 1\n"]))
    def limit_a_folder(self, limit: str) -> None:
        self.cloud.person_drops("jobs/x/_defaults.yaml", limit or "fps: 8\n")

    @rule(body=DEFAULTS)
    def change_the_defaults(self, body: str) -> None:
        if body:
            self.cloud.person_drops("jobs/_defaults.yaml", body)
        else:
            self.cloud.person_deletes("jobs/_defaults.yaml")

    @rule(body=st.sampled_from([PNG, PNG, b"", b"no picture"]))
    def drop_the_picture(self, body: bytes) -> None:
        self.cloud.person_drops("jobs/pic.png", body)

    @rule(name=NAMES)
    def tell_again(self, name: str) -> None:
        """The event of the first version of a key comes again."""
        key = f"jobs/{name}.yaml"
        versions = self.cloud.files.objects.get(("input", key), [])
        if versions:
            first = versions[0].version  # it may have been deleted since
            self.cloud.soon("submit", lambda p: submit(p, "input", key, first))

    @rule()
    def tell_of_endings(self) -> None:
        """An event about the end comes for every open attempt, even if it has not ended."""
        for record in self.cloud.ledger.query(OPEN_ATTEMPTS, Attempt):
            attempt = record.document.attempt_id
            self.cloud.soon("finish", partial(attempt_ended, attempt_id=attempt))

    @rule(fault=FAULTS, likely=st.sampled_from([0.0, 0.2, 1.0]))
    def fault(self, fault: str, likely: float) -> None:
        setattr(self.cloud.faults, fault, min(likely, MOST.get(fault, 1)))

    @rule(service=st.sampled_from(["", *SERVICES]))
    def outage(self, service: str) -> None:
        """AWS throttles every call of a service from now on, or of none any more."""
        self.cloud.faults.outage_of = service

    @rule(there=st.booleans())
    def quota(self, there: bool) -> None:
        self.cloud.faults.no_quota = 0.0 if there else 1.0

    @rule(call=st.integers(1, 80))
    def kill_at(self, call: int) -> None:
        """Kill the handler that reaches this point, counted from now."""
        self.cloud.kill_at = self.cloud.calls + call

    @rule()
    def sweep_now(self) -> None:
        self.cloud.at(self.cloud.now_seconds, Handler("sweep again", sweep))

    @rule(seconds=st.sampled_from([0.3, 5, 100, 400, 900, 1500]))
    def pass_time(self, seconds: float) -> None:
        self.cloud.run_for(seconds)

    @invariant()
    def no_attempt_was_created_twice(self) -> None:
        if hasattr(self, "cloud"):
            assert all(count == 1 for count in self.cloud.accepted.values())
            assert all(len(attempts) == 1 for attempts in self.cloud.published.values())

    def teardown(self) -> None:
        """After the faults end, two sweeps and the work they start must complete everything."""
        if not hasattr(self, "cloud"):
            return
        cloud = self.cloud
        cloud.run_for(RENDERING_SECONDS)
        cloud.faults = Faults(until_seconds=cloud.now_seconds, dead_letters=ANY_FUNCTION)
        cloud.kill_at = None
        cloud.run_for(2 * SWEEP_EVERY_SECONDS + 100)
        self._check_that_everything_continues()
        waits = any(job.state == State.WAITING for job in cloud.documents(Job))
        for _ in range(30 if self._limited() else 4 if waits else 1):
            cloud.run_for(86_400 if waits or self._limited() else SETTLE_SECONDS)
            queued = cloud.ledger.query(QUEUE, QueueEntry)
            waiting = cloud.ledger.query(WAITING, Waiting)
            if not (queued or waiting):
                break
        cloud.run_for(SETTLE_SECONDS)
        cloud.check()

    def _limited(self) -> bool:
        queued = self.cloud.ledger.query(QUEUE, QueueEntry)
        return bool(day_limits.today(self.cloud.ports, [e.document.folder for e in queued]))

    def _check_that_everything_continues(self) -> None:
        """After two sweeps each open attempt must progress, and each drop must have its job."""
        cloud = self.cloud
        a_sweep_ago = cloud.clock() - timedelta(seconds=SWEEP_EVERY_SECONDS + 100)
        for record in cloud.ledger.query(OPEN_ATTEMPTS, Attempt):
            attempt = record.document
            is_rendering = attempt.attempt_id in cloud.running() and attempt.state == "started"
            ended_at = cloud.ended_at.get(attempt.attempt_id, attempt.updated_at)
            assert is_rendering or max(ended_at, attempt.updated_at) > a_sweep_ago, attempt
        jobs = {job.job_id for job in cloud.documents(Job)}
        for key, version in cloud.dropped:
            there = cloud.files.exists("input", key)
            if there and cloud.files.facts("input", key).version == version:
                assert s3_keys.job_id("input", key, version) in jobs, f"{key} was lost"


def _machine() -> Any:
    case = Cloud.TestCase
    case.settings = settings(
        max_examples=2_000 if WHOLE else 20,
        stateful_step_count=25,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestCloud = _machine()
