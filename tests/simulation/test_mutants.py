"""The harness is worth something only if it notices when a guard is missing: each is taken out."""

import os
import subprocess
import sys

import pytest

from local import ROOT

# name: (module, text of the guard, text without it)
MUTANTS = {
    "a video is not compared with its hash": (
        "functions.stages.finish",
        "        if found != sha256:",
        "        if False:",
    ),
    "a video that never comes is waited for": (
        "functions.stages.finish",
        "            if not job_has_ended:",
        "            if True:",
    ),
    "an ending is believed without asking SageMaker": (
        "functions.stages.finish",
        "    if status is None or not status.state.ended:",
        "    if status is None:",
    ),
    "tasks without a result are forgotten when their job ends": (
        "functions.stages.finish",
        "        requeue_task(ports, attempt, task.ref, charge=charge, hold=hold)\n",
        "        pass\n",
    ),
    "attempts are not counted": (
        "functions.stages.finish",
        "task.attempts >= ports.settings.max_attempts:",
        "False:",
    ),
    "a lease is not given back": (
        "functions.table.attempts",
        "            changes.append(Put(CAPACITY, released, held.revision))\n",
        "            pass\n",
    ),
    "leases are not counted": (
        "functions.stages.dispatch",
        "    free = settings.max_processing_jobs - len(capacity.leases)",
        "    free = settings.max_processing_jobs",
    ),
    "an abandoned attempt is not taken over": (
        "functions.table.attempts",
        "    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER",
        "    return False",
    ),
    "an attempt that was accepted unheard starts with what is left": (
        "functions.stages.launch",
        "    if attempt.state == AttemptState.CLAIMING:\n        tasks",
        "    if True:\n        tasks",
    ),
    "no quota is believed without asking whether the job exists": (
        "functions.stages.launch",
        "        status = ports.renderer.status(attempt.attempt_id)\n"
        "        if status is None and isinstance(refusal, NameTaken):",
        "        status = ports.renderer.status(attempt.attempt_id)\n"
        "        if isinstance(refusal, NoQuota):\n            raise\n"
        "        if status is None and isinstance(refusal, NameTaken):",
    ),
    "tasks without capacity are not put back": (
        "functions.stages.launch",
        "        requeue_task(ports, attempt, ref, charge=False, hold=hold)\n",
        "        pass\n",
    ),
    "a return is not noted before tasks go back": (
        "functions.stages.launch",
        "record = move_attempt(ports, record, record.document.returning(ports.now()))",
        "record = Record(record.key, attempt, record.revision)",
    ),
    "a type that was refused is never asked again": (
        "functions.stages.dispatch",
        "        if ports.now() - missing.at < PASSED_OVER_FOR",
        "        if True",
    ),
    "a claim leaves the queue entry": (
        "functions.table.tasks",
        "            *(Remove(queue_key(record.document), 1) for record in queued),\n",
        "",
    ),
    "a job that exists is taken in again": (
        "functions.stages.submit",
        "        if record is not None and record.document.state != State.WAITING:",
        "        if record is not None and record.document.state == State.RUNNING:",
    ),
    "what is started is not counted to its folder's day": (
        "functions.table.tasks",
        "            usages[task.folder] = after\n",
        "            pass\n",
    ),
    "a letter is sent by whoever sees it": (
        "functions.replies.publish",
        "    try:\n        ports.ledger.commit(Put(letter.key, claimed, letter.revision))\n"
        "    except Conflict:\n        return\n",
        "",
    ),
    "the sweeper does not look at the letters": (
        "functions.stages.sweep",
        "    each(_letter, ports.ledger.query(OUTBOX, Letter))\n",
        "",
    ),
    "the sweeper does not look at the inbox": (
        "functions.stages.sweep",
        "        _drops(ports)\n",
        "        pass\n",
    ),
    "the sweeper does not look at the attempts": (
        "functions.stages.sweep",
        "    each(_attempt, ports.ledger.query(OPEN_ATTEMPTS, Attempt))\n",
        "",
    ),
    "the sweeper does not look at what waits": (
        "functions.stages.sweep",
        "    each(_waiting, ports.ledger.query(WAITING, Waiting))\n",
        "",
    ),
    "the table does not look at revisions": (
        "tests.fakes",
        '            if change.revision != self.items.get(place, (0, ""))[0]:',
        "            if False:",
    ),
}
# Each costs a process and seconds; a plain run takes a few, `make simulate` all.
CHOSEN = list(MUTANTS) if os.environ.get("REELDROP_SIMULATE") == "whole" else list(MUTANTS)[::5]


def test_with_every_guard_in_place_nothing_is_noticed() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.simulation.mutant",
            "functions.stages.finish",
            "import",
            "import",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("name", CHOSEN)
def test_a_missing_guard_is_noticed(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutant", *MUTANTS[name]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stdout, f"nothing was noticed\n{done.stderr}"
    assert "Traceback" not in done.stderr
