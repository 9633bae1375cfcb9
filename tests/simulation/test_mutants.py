"""The simulation must notice when a guard in the code is missing. Each test removes one guard."""

import os
import subprocess
import sys

import pytest

from local import ROOT
from tests.simulation.stories import FAULTS

# name: (module, text of the guard, text without it)
MUTANTS = {
    "a video is not compared with its hash": (
        "functions.stages.finish",
        "        if found != sha256:",
        "        if False:",
    ),
    "a missing video is waited for after its processing job has ended": (
        "functions.stages.finish",
        "            if not job_has_ended:",
        "            if True:",
    ),
    "a task whose reference is gone does not fail": (
        "functions.stages.launch",
        "        fail_owned_task(ports, attempt, task.ref, problem)\n    # An earlier",
        "        pass\n    # An earlier",
    ),
    "the gallery keeps the entries of older drops": (
        "functions.replies.gallery",
        "        changes += _removed(ports, shown)\n",
        "        pass\n",
    ),
    "the gallery keeps the entries of folder defaults that are gone": (
        "functions.replies.publish",
        "    gallery.hide(ports, path)\n",
        "",
    ),
    "copies of references stay": (
        "functions.replies.publish",
        "        _forget_references(ports, job, tasks)\n",
        "        pass\n",
    ),
    "a model is never paused": (
        "functions.table.records",
        "        pause = PAUSES[min(pauses, len(PAUSES) - 1)] if pauses >= 0 else None",
        "        pause = None",
    ),
    "a pause never ends": (
        "functions.planning.batching",
        "        if situation.now < until or model in running",
        "        if True",
    ),
    "after a pause all tasks are tried together": (
        "functions.planning.batching",
        "    chosen = [e for e in allowed if probes.get(e.model, e) == e]\n"
        "    return chosen, [e for e in allowed if probes.get(e.model, e) != e]",
        "    return list(allowed), []",
    ),
    "weights that were not imported are not waited for": (
        "functions.stages.weights",
        "        return None\n",
        '        return "one"\n',
    ),
    "what the guardrail blocks is queued": (
        "functions.stages.judging",
        "            if judgement.blocked:",
        "            if False:",
    ),
    "each handler keeps a signed file of its own": (
        "functions.stages.signing",
        'mark=f"{attempt_id} {task_id}")',
        'mark="")',
    ),
    "negative prompts are not judged": (
        "functions.stages.judging",
        "        for field, text in (*prompts_of(spec), *others):",
        "        for field, text in prompts_of(spec):",
    ),
    "enhanced prompts are not judged": (
        "functions.stages.accept",
        '        if enhancement.status == "enhanced" and not all(map(judging.allows, captions)):',
        "        if False:",
    ),
    "prompts are judged only if they are enhanced": (
        "functions.stages.accept",
        "            judging.check(spec, one, until)\n",
        "            if spec.enhance:\n                judging.check(spec, one, until)\n",
    ),
    "a guardrail that does not answer allows everything": (
        "functions.stages.judging",
        "            self._known[about] = ask()\n",
        "            try:\n"
        "                self._known[about] = ask()\n"
        "            except GuardrailUnavailable:\n"
        "                return _NOT_ASKED\n",
    ),
    "finished videos are not judged": (
        "functions.stages.finish",
        "        _judge(ports, task, outcome)\n",
        "",
    ),
    "a video that is not judged is published": (
        "functions.stages.finish",
        "    judgement = ports.guardrail.judge_pictures(pictures)\n",
        "    try:\n"
        "        judgement = ports.guardrail.judge_pictures(pictures)\n"
        "    except GuardrailUnavailable:\n"
        "        return\n",
    ),
    "an attempt whose video is not judged yet is closed": (
        "functions.stages.finish",
        "    if any(owned_task(ports, attempt.attempt_id, ref) for ref in owned):\n",
        "    if False:\n",
    ),
    "references are not judged": (
        "functions.stages.accept",
        "                    self._judge(judging, one, reference, until)\n",
        "                    pass\n",
    ),
    "two handlers that publish a video do not notice each other": (
        "functions.stages.finish",
        """    mark = f"{attempt_id} {task.task_id}{' signed' if signed else ''}\"""",
        '    mark = ""',
    ),
    "a result of an attempt that lost its task is published": (
        "functions.stages.finish",
        "    if not task.owned_by(attempt_id):\n        ports.log(Event.RESULT_IS_STALE",
        "    if task.state != State.RUNNING:\n        ports.log(Event.RESULT_IS_STALE",
    ),
    "an event about an end is not checked with SageMaker": (
        "functions.stages.finish",
        "    if status is None or not status.state.ended:",
        "    if status is None:",
    ),
    "tasks without a result are not requeued when their processing job ends": (
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
        "    free = settings.max_processing_jobs - len(own.leases)",
        "    free = settings.max_processing_jobs",
    ),
    "an abandoned attempt is not taken over": (
        "functions.table.attempts",
        "    return moving and ports.now() - attempt.updated_at > TAKE_OVER_AFTER",
        "    return False",
    ),
    "an attempt that SageMaker may have accepted gets a new manifest": (
        "functions.stages.launch",
        "    if attempt.state == AttemptState.CLAIMING:\n        seconds_of",
        "    if True:\n        seconds_of",
    ),
    "after a missing quota nobody checks whether the processing job exists": (
        "functions.stages.launch",
        "        status = ports.renderer.status(attempt.attempt_id)\n"
        "        if status is None and isinstance(refusal, NameTaken):",
        "        status = ports.renderer.status(attempt.attempt_id)\n"
        "        if isinstance(refusal, NoQuota):\n            raise\n"
        "        if status is None and isinstance(refusal, NameTaken):",
    ),
    "tasks without capacity are not requeued": (
        "functions.stages.launch",
        "        requeue_task(ports, attempt, ref, charge=False, hold=hold)\n",
        "        pass\n",
    ),
    "the return of tasks is not written before they are requeued": (
        "functions.stages.launch",
        "record = move_attempt(ports, record, record.document.returning(hold, ports.now()))",
        'unwritten = record.document.model_copy(update={"hold": hold})\n'
        "        record = Record(record.key, unwritten, record.revision)",
    ),
    "an instance type without quota is never tried again": (
        "functions.stages.dispatch",
        "        if ports.now() - missing.at < PASSED_OVER_FOR",
        "        if True",
    ),
    "a claim does not remove the queue entry": (
        "functions.table.tasks",
        "*(Remove(queue_key(r.document), r.document.queue_revision) for r in queued),\n",
        "",
    ),
    "a job that exists is accepted again": (
        "functions.stages.submit",
        "record is not None and record.document.state != State.WAITING",
        "record is not None and record.document.state == State.RUNNING",
    ),
    "a version that replaces no other hides the one before": (
        "functions.stages.submit",
        "    for earlier in versions[1:]:",
        "    for earlier in versions[:0]:",
    ),
    "an older version that is accepted later owns the status": (
        "functions.table.paths",
        "known if _has_newer(ports, job, known) else known.newest_is(job)",
        "known.newest_is(job)",
    ),
    "a video may replace one of the same name": (
        "functions.stages.accept",
        "        if found := with_equal_names(self.ports, job):",
        "        if found := with_equal_names(self.ports, self.job):",
    ),
    "the H.265 of a video may replace a video of its name": (
        "functions.s3_keys",
        'for stem in stems if "h265" in wanted',
        "for stem in stems[:0]",
    ),
    "two jobs take one name in the same moment": (
        "functions.stages.accept",
        "(names if rendering else [ended(job)])",
        "([] if rendering else [ended(job)])",
    ),
    "two versions of one second have no order": (
        "functions.table.paths",
        "    return next((v for v in versions if v in {one.version, other.version}), None)"
        " == one.version",
        "    return not versions",
    ),
    "a task that starts is not counted in its folder's usage": (
        "functions.table.tasks",
        "            after[task.folder] = more\n",
        "            pass\n",
    ),
    "a letter is sent without being claimed": (
        "functions.replies.outbox",
        "    try:\n        ports.ledger.commit(Put(owed.key, claimed, owed.revision))\n"
        "    except Conflict:\n        return None\n",
        "    claimed, owed = owed.document, Record(owed.key, owed.document, owed.revision - 1)\n",
    ),
    "a collected job keeps its letter": (
        "functions.replies.outbox",
        "        ports.ledger.commit(change, *others)\n",
        "        ports.ledger.commit(*(others or [change]))\n",
    ),
    "a job that a digest will tell of is forgotten": (
        "functions.replies.outbox",
        "            others.append(_collected(ports, job, job.digest))\n",
        "            pass\n",
    ),
    "an event that EventBridge does not take is forgotten": (
        "functions.replies.outbox",
        "    if refusal is None:\n        _noted(ports, letter, None, *others)\n",
        "    if True:\n        _noted(ports, letter, None, *others)\n",
    ),
    "a mail that fails repeats the event": (
        "functions.replies.outbox",
        "            letter = _noted(ports, letter, now)\n",
        "            pass\n",
    ),
    "an event that fails repeats the mail": (
        "functions.replies.outbox",
        "now.people_were_told().not_sent()",
        "now.not_sent()",
    ),
    "only jobs that want a mail have an event": (
        "functions.replies.outbox",
        "    refusal = None if now.event_sent else ",
        "    refusal = None if now.event_sent or not job.wants_mail else ",
    ),
    "a digest lists a job that the next one lists, too": (
        "functions.stages.digests",
        "            ports.ledger.commit(Put(key, digest, revision), *removed, *first)\n",
        "            ports.ledger.commit(Put(key, digest, revision), *removed[1:], *first)\n",
    ),
    "files that are no drops get several mails a day": (
        "functions.stages.digests",
        "        return last is None or now - last.document.at >= A_DAY",
        "        return True",
    ),
    "the sweep makes no digests": (
        "functions.stages.sweep",
        "        _Check(COLLECTED, Collected, _collected, A_FEW, None, _digest),\n",
        "",
    ),
    "the sweep does not send digests": (
        "functions.stages.sweep",
        "        _Check(DIGESTS, Digest, outbox.deliver_digest),\n",
        "",
    ),
    "the sweep does not check the letters": (
        "functions.stages.sweep",
        "        _Check(OUTBOX, Letter, _letter),\n",
        "",
    ),
    "the sweep does not check the input bucket": (
        "functions.stages.sweep",
        "        errors += inbox.look_through(ports, began + WORK_FOR)\n",
        "        pass\n",
    ),
    "the sweep does not check the attempts": (
        "functions.stages.sweep",
        "        _Check(OPEN_ATTEMPTS, Attempt, _attempt, together=1),\n",
        "",
    ),
    "the sweep does not check the waiting jobs": (
        "functions.stages.sweep",
        "        _Check(WAITING, Waiting, _waiting),\n",
        "",
    ),
    "a call that is throttled counts as a create call without effect": (
        "functions.stages.launch",
        "    except (NoQuota, StartDenied, StartThrottled) as not_now:",
        "    except (NoQuota, StartDenied, StartThrottled, Transient) as not_now:",
    ),
    "a canceled job is settled once, and not until it succeeds": (
        "functions.stages.cancel",
        "        ended(canceled),\n",
        "",
    ),
    "a letter whose removal conflicts stays": (
        "functions.replies.outbox",
        '    retried(f"what is owed about {owed.key.sort}", note)\n',
        "    note()\n",
    ),
    "copies of references stay if a drop is gone before it is accepted": (
        "functions.stages.submit",
        "    if job is None:\n"
        "        publish.remove_references(ports, s3_keys.job_id(bucket, key, version))\n",
        "    if job is None:\n        pass\n",
    ),
    "a message about a result whose video never comes is tried until it is a dead letter": (
        "functions.stages.finish",
        "            if not _is_old(ports, key):",
        "            if True:",
    ),
    "the sweep fails while a video is not uploaded yet": (
        "functions.stages.finish",
        "            with suppress(_NotUploaded):",
        "            if True:",
    ),
    "a deleted spec is not noticed": (
        "functions.stages.cancel",
        "    if not _gone(ports, job.source):",
        "    if True:",
    ),
    "a processing job without tasks is not stopped": (
        "functions.stages.cancel",
        "        ports.renderer.stop(attempt.attempt_id)\n",
        "        pass\n",
    ),
    "wrong folder defaults are not noted": (
        "functions.stages.folder_defaults",
        "            if record is None:\n                _put(ports, None, key, _UNUSABLE)\n",
        "",
    ),
    "the sweep does not check the folder defaults": (
        "functions.stages.sweep",
        "        _Check(DEFAULTS, NotedDefaults, _defaults, A_FEW, A_FEW),\n",
        "",
    ),
    "the mark moves before the whole bucket was looked at": (
        "functions.stages.inbox",
        "            looked = looked if page.more else looked.completed()",
        "            looked = looked.completed()",
    ),
    "the mark moves past a drop that has no job": (
        "functions.table.records",
        "        until = min(self.round_until, oldest_without_job or self.round_until)",
        "        until = self.round_until",
    ),
    "each sweep looks through the input bucket from its beginning": (
        "functions.stages.inbox",
        'page(ports.settings.input_bucket, "", looked.round_after)',
        'page(ports.settings.input_bucket, "", "")',
    ),
    "the sweep does not look for approvals": (
        "functions.stages.inbox",
        'page(ports.settings.input_bucket, "", looked.round_after)',
        'page(ports.settings.input_bucket, "jobs/", looked.round_after)',
    ),
    "a final is dropped again by each handler": (
        "functions.stages.accept",
        "                mark=spec.mark,\n",
        "",
    ),
    "the rows of an older version of a list stay": (
        "functions.stages.accept",
        "            if InputBucket(ports, source.bucket).version_of(source.key) == version:\n",
        "            if True:\n",
    ),
    "an older version of a list drops its own rows": (
        "functions.stages.accept",
        "            read = self._rows(drop, is_mine",
        "            read = self._rows(self.drop, is_mine",
    ),
    "it is not noted that a list is read": (
        "functions.stages.accept",
        "        if self.record is None:\n            self._note_that_it_is_read()\n        for",
        "        for",
    ),
    "an approval of which a final was made stays in the gallery": (
        "functions.replies.gallery",
        "        if job.document.state == State.HANDED_ON:\n            if shown is not None:",
        "        if job.document.state == State.HANDED_ON:\n            if False:",
    ),
    "the sweep ignores images that are jobs": (
        "functions.stages.inbox",
        "            return key in self.images or key in self.refused",
        "            return key in self.refused",
    ),
    "the sweep ignores references because of which jobs were refused": (
        "functions.stages.inbox",
        "            return key in self.images or key in self.refused",
        "            return key in self.images",
    ),
    "the sweep does not tell about lone pictures": (
        "functions.stages.sweep",
        "        _Check(LONE, Lone, lone.settle),\n",
        "",
    ),
    "the status of a lone picture stays": (
        "functions.stages.lone",
        "        _forget(ports, record)\n",
        "        pass\n",
    ),
    "a reference whose name differs in letter case is not found": (
        "functions.spec.drop_files",
        "        found = files.alike(key, s3_keys.shared_folder(spec_key, key))\n",
        "        found = []\n",
    ),
    "an empty reference counts as uploaded": (
        "functions.spec.drop_files",
        "        return [key] if files.size_bytes(key) else []",
        "        return [key] if files.size_bytes(key) >= 0 else []",
    ),
    "a job that was refused because of its reference is not tried again": (
        "functions.stages.accept",
        "    return len(meant) == 1 and drop.version_of(meant[0]) != job.bad_reference.version",
        "    return False",
    ),
    "a drop that is tried again does not own its path": (
        "functions.table.paths",
        "    if one == other:",
        "    if False:",
    ),
    "the sweep ignores changes of folder defaults": (
        "functions.stages.inbox",
        "        return noted is not None and noted.document.version == version",
        "        return True",
    ),
    "newer folder defaults are ignored when tasks are claimed": (
        "functions.stages.newer_defaults",
        "        return not job.can_be_planned_again or self.apply_to(job)",
        "        return True",
    ),
    "an attempt that is taken over claims jobs with newer folder defaults": (
        "functions.stages.launch",
        "claim_tasks(ports, attempt, seconds_of, current.allow_claim)",
        "claim_tasks(ports, attempt, seconds_of, lambda _job: True)",
    ),
    "a task that was planned again with another model is claimed": (
        "functions.table.tasks",
        "task.state == State.QUEUED and needs == wanted",
        "task.state == State.QUEUED or needs is wanted",
    ),
    "tasks start while files are being uploaded": (
        "functions.stages.uploads",
        "            if alone and (recent := self._recent_in(top, alone[0])):",
        "            if recent := frozenset[str]():",
    ),
    "tasks start while others are being queued near them": (
        "functions.stages.uploads",
        "            found |= {entry.task for entry in entries if fresh - {entry.task.job_id}}\n",
        "",
    ),
    "jobs to which newer folder defaults apply are not announced": (
        "functions.stages.newer_defaults",
        "    ports.announce(job.source.key, job.source.version_id)\n",
        "",
    ),
    "a job that newer folder defaults do not fit is never started": (
        "functions.stages.plan_again",
        "        keep(ports, drop, record, first.sentence())\n",
        "        pass\n",
    ),
    "a task that is planned again keeps its settings": (
        "functions.table.records",
        "            spec=spec,\n            enhancement=enhancement,",
        "            enhancement=enhancement,",
    ),
    "the revision of a queue entry is not known": (
        "functions.table.records",
        "queue_revision=self.queue_revision + 1 if same_key else 1",
        "queue_revision=1",
    ),
    "a file under somebody else's key is an unknown error": (
        "functions.spec.drop_files",
        "    except Locked:",
        "    except ZeroDivisionError:",
    ),
    "scenes start from an image without their weights": (
        "functions.stages.launch",
        "    if attempt.image_release:\n",
        "    if False:\n",
    ),
    "weights for images that were not imported are not waited for": (
        "functions.stages.dispatch",
        "    line = [entry for entry in line if releases.keys() >= set(entry.weights)]\n",
        "    line = [entry for entry in line if entry.weights[0] in releases]\n",
    ),
    "only the prompt of the first scene is judged": (
        "functions.stages.judging",
        "        for field, text in (*prompts_of(spec), *others):",
        "        for field, text in (*prompts_of(spec)[:1], *others):",
    ),
    "the scenes before one that failed are lost": (
        "functions.stages.finish",
        "            kept = _keep_scenes(ports, task, outcome, job_has_ended=job_has_ended)\n",
        "            kept = 0\n",
    ),
    "the scenes before one that failed are not judged": (
        "functions.stages.finish",
        "_judge_pictures(ports, task, _frames_of(ports, task, attempt_id, list(clips)))\n",
        "pass\n",
    ),
    "the scenes before one that failed are not signed": (
        "functions.stages.finish",
        "    signed = signed_files(ports, Result(attempt_id, task, clips))\n",
        "    signed: dict[str, Signed] = {}\n",
    ),
    "only the first reference of a task is copied": (
        "functions.stages.launch",
        "        for reference in task.references:\n            target",
        "        for reference in task.references[:1]:\n            target",
    ),
    "a job begins before all of its references are there": (
        "functions.stages.accept",
        "                    missing.append(mention.key)\n",
        "                    pass\n",
    ),
    "a queue counts the leases of the other one": (
        "functions.stages.dispatch",
        "for one in capacity.leases if queue_of(one.mode) == queue)",
        "for one in capacity.leases if queue_of(one.mode) != queue)",
    ),
    "the table does not compare revisions": (
        "tests.fakes",
        '            if change.revision != self.items.get(place, (0, ""))[0]:',
        "            if False:",
    ),
    "jobs from before the gallery are not added to it": (
        "functions.stages.inbox",
        "            looked = _fill_gallery(ports, looked, some, errors)\n",
        "",
    ),
    "jobs that could not be added to the gallery are not tried again": (
        "functions.stages.inbox",
        "        return looked.gallery_missed_some()\n",
        "        return looked\n",
    ),
}
# The beginnings of the names of the stories in which a violation shows. They are told first, which
# saves time. If a violation shows elsewhere one day, the others are told, too.
SHOWS_IN = {
    "a video is not compared with its hash": "14 videos m",
    "a pause never ends": "30 copies",
    "a guardrail that does not answer allows everything": "38 guardrail",
    "tasks without a result are not requeued when their processing job ends": "30 copies",
    "the return of tasks is not written before they are requeued": "16",
    "two jobs take one name in the same moment": "34",
    "an event that fails repeats the mail": "43",
    "the sweep does not check the attempts": "04 every event lost",
    "a deleted spec is not noticed": "19 specs deleted at any time",
    "a final is dropped again by each handler": "52 drafts are approved, a",
    "the status of a lone picture stays": "04 pictures that no spec asks for",
    "a task that was planned again with another model is claimed": "44 folder defaults after an",
    "scenes start from an image without their weights": "51 videos of scenes",
    "a queue counts the leases of the other one": "01 events 2 to 5 times, at once",
}
# Each test starts a process that may run for a minute. A plain test run takes those that say where
# a violation shows, `make simulate` all.
WHOLE = os.environ.get("REELDROP_SIMULATE") == "whole"
CHOSEN = list(MUTANTS if WHOLE else SHOWS_IN)


@pytest.mark.skipif(not WHOLE, reason="test_simulation.py runs the same in a plain test run")
def test_no_violation_is_found_when_every_guard_is_in_place() -> None:
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


@pytest.mark.parametrize("name", MUTANTS)
def test_the_text_of_each_guard_occurs_once(name: str) -> None:
    module, old, _ = MUTANTS[name]
    text = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    assert text.count(old) == 1


def test_the_stories_that_are_told_first_exist() -> None:
    assert SHOWS_IN.keys() <= MUTANTS.keys()
    for beginning in SHOWS_IN.values():
        assert any(story.startswith(beginning) for story in FAULTS), beginning


@pytest.mark.parametrize("name", CHOSEN)
def test_the_simulation_finds_a_violation_when_a_guard_is_missing(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutant", *MUTANTS[name], SHOWS_IN.get(name, "")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stdout, f"no violation was found\n{done.stderr}"
    assert "Traceback" not in done.stderr
