"""Phrases that status, mail and refusals share."""

from collections.abc import Iterable, Sequence

from contract.errors import Notice, Problem
from contract.manifest import Parameters
from contract.timeline import timeline_of
from functions import s3_keys
from functions.planning.estimate import Cost
from functions.table.records import (
    CancelReason,
    Ending,
    Hold,
    HoldReason,
    Job,
    NotJudged,
    ProcessingState,
    Task,
)

# How a processing job ended is cut to this many characters in a status.
_LONGEST_ENDING = 400
_MOST_LISTED = 6


def videos(count: int) -> str:
    """A number of videos: "1 video", "3 videos"."""
    return "1 video" if count == 1 else f"{count} videos"


def listing(names: Sequence[str]) -> str:
    """Names for a sentence: "a", "a and b", "a, b and c". Of many, only the first are named."""
    some = [*names] if len(names) <= _MOST_LISTED else [*names[: _MOST_LISTED - 1]]
    if len(some) < len(names):
        some.append(f"{len(names) - len(some)} more")
    return " and ".join([", ".join(some[:-1]), some[-1]] if len(some) > 1 else some)


def length(parameters: Parameters) -> str:
    """How long a video is: "6.1 s at 24 fps"."""
    timeline = timeline_of(parameters)
    return f"{timeline.duration_seconds:.1f} s at {timeline.fps} fps"


def not_enhanced(tasks: Iterable[Task]) -> list[Notice]:
    """A warning for each reason why a prompt was not enhanced."""
    reasons = dict.fromkeys(t.enhancement.reason for t in tasks if t.enhancement.reason)
    return [
        Notice(code="not-enhanced", message=f"The prompt was not enhanced: {reason}.")
        for reason in reasons
    ]


def not_judged(why: NotJudged) -> str:
    """Why a job waits for the guardrail, in sentences."""
    return (
        "Nothing is rendered until the guardrail has judged this drop, and it does not answer: "
        f"{why.reason.rstrip('.')}. It is asked again every few minutes. If this lasts, your "
        "administrator has to correct it."
    )


def held_back(tasks: Sequence[Task]) -> str:
    """Why finished videos are not published yet, in sentences.

    Args:
        tasks: those of the videos; at least one.
    """
    reasons = "; ".join(dict.fromkeys(task.unpublished_because or "" for task in tasks))
    return (
        f"{videos(len(tasks))} {'is' if len(tasks) == 1 else 'are'} finished, but not published "
        f"yet: {reasons.rstrip('.')}. This is tried again every few minutes. If it lasts, your "
        "administrator has to correct it."
    )


def scenes_kept(keys: Sequence[str]) -> str:
    """Where the scenes before one that failed are, as a sentence.

    Args:
        keys: those of the scenes; at least one.
    """
    if len(keys) == 1:
        return f"The scene before it is kept: {keys[0]}."
    last = keys[-1].rpartition("/")[2]
    return f"The {len(keys)} scenes before it are kept: {keys[0]} to {last}."


def cost(expected: Cost) -> str:
    """How long rendering takes and what it costs, as a part of a sentence."""
    words = (
        f"about {expected.gpu_minutes:.1f} minutes of rendering on {expected.instance_type} after "
        f"{expected.startup_minutes:.1f} minutes of start-up"
    )
    if expected.usd_low is None or expected.usd_high is None:
        return f"{words}; the price of that instance type is not known here"
    return f"{words}, {expected.usd_low:.2f} to {expected.usd_high:.2f} USD"


def ending(how: Ending) -> str:
    """How a processing job ended, as a part of a sentence."""
    if how.state is None:
        return "SageMaker does not know the processing job"
    words = f"the processing job {how.state.value.lower()}"
    if how.detail or how.state == ProcessingState.STOPPED:
        return f"{words}: {how.detail}" if how.detail else words
    return f"{words} without a message; its log may say why"


def hold(why: Hold) -> str:
    """Why a queued task does not run yet, as a part of a sentence."""
    last = ending(why.ending) if why.ending else ""
    used_up = f"a quota does not allow another processing job on {why.instance_type} now"
    until = f"{why.until:%Y-%m-%d %H:%M} UTC" if why.until else "a while"
    words = {
        HoldReason.DAILY_LIMIT: (
            f"the daily limit of this folder is used up for {why.day} (UTC); it continues after "
            "midnight, or as soon as the limit is higher: that of _defaults.yaml, or that of your "
            "administrator (max_tasks_per_folder_day, max_gpu_minutes_per_folder_day)"
        ),
        HoldReason.NO_CAPACITY: (
            f"{used_up}: {why.detail}" if why.detail else f"{used_up} (SageMaker gave no reason)"
        ),
        HoldReason.START_DENIED: (
            f"SageMaker denied the start; ask your administrator to correct this: {why.detail}"
        ),
        HoldReason.THROTTLED: (
            "SageMaker receives too many requests now; the next try is in a few minutes"
        ),
        HoldReason.NEW_ATTEMPT: f"new attempt: {last}" if last else "new attempt",
        HoldReason.MODEL_PAUSED: (
            "processing jobs like this one end before they render anything "
            f"({last[:_LONGEST_ENDING]}); your administrator was told, and it is tried again after "
            f"{until}"
        ),
        HoldReason.NO_WEIGHTS: (
            f"the weights of {why.detail} are not here yet; your administrator imports them with "
            f"`reeldrop import-model {why.detail}`"
        ),
    }
    return words[why.reason]


def how_to_approve(job: Job, tasks: Sequence[Task]) -> str:
    """How a person gets the final of a draft, as a sentence.

    Args:
        job: a job with a draft.
        tasks: all of its tasks, by number.
    """
    *others, last = [task.number for task in tasks if task.is_draft]
    one = f" (or {s3_keys.approval(job.path, last)} for video {last} only)" if others else ""
    return (
        "To make the final of this draft with the same seed, upload an empty file "
        f"{s3_keys.approval(job.path)}{one} to the input bucket; it has more steps, so it can "
        "differ from the draft, even in its composition."
    )


def handed_on(job: Job) -> str:
    """What was dropped because of a drop, in sentences."""
    if s3_keys.kind_of(job.source.key) == s3_keys.Kind.LIST:
        return " ".join(rows(job))
    return (
        f"The final is {listing(job.dropped)}, which has a status of its own. It is made once: to "
        "have it made again, delete that file and approve the draft again."
    )


def rows(job: Job) -> list[str]:
    """What became of the rows of a list, in sentences."""
    bad = f"{rows_of(job.bad_rows)} cannot be used; {s3_keys.rejected(job.path)} says why."
    return [*([bad] if job.bad_rows else []), *dropped_rows(job)]


def dropped_rows(job: Job) -> list[str]:
    """Where the specs of the good rows of a list are, and when they are made again, as sentences.

    None if there is no good row. The spec of a row that has not changed is not written again, and
    it does not matter what became of its job.
    """
    if not job.dropped:
        return []
    one = len(job.dropped) == 1
    were = "was dropped" if one else "were dropped, each"
    to = "" if one else f" to {job.dropped[-1]}"
    return [
        f"{rows_of(len(job.dropped))} {were} as a spec with a status of its own: "
        f"{job.dropped[0]}{to}.",
        "If you upload the list again, only rows that have changed are made again. To have another "
        "row made again, for example one that failed, delete its spec and upload the list again.",
    ]


def in_row(problem: Problem) -> str:
    """A problem of a list, with the number of its row, or with its place in another file."""
    place = problem.place
    where = f"Row {place.line}"
    if place.file is not None:
        where = f"{place.file}, line {place.line}" if place.line is not None else place.file
    return f"{where}: {problem.sentence()}"


def more_problems(count: int) -> str:
    """The beginning of a sentence: "1 more problem is", "3 more problems are"."""
    return "1 more problem is" if count == 1 else f"{count} more problems are"


def unit_of(job: Job, problem: Problem) -> str:
    """What the `line` of a problem counts: the lines of a file, or the rows of a list."""
    is_list = s3_keys.kind_of(job.source.key) == s3_keys.Kind.LIST
    return "row" if is_list and problem.place.file is None else "line"


def rows_of(count: int) -> str:
    """A number of rows: "1 row", "3 rows"."""
    return "1 row" if count == 1 else f"{count} rows"


def canceled(why: CancelReason | None) -> str:
    """Why a job was canceled, as a part of a sentence."""
    if why == CancelReason.SUPERSEDED:
        return "a newer version was dropped"
    return "its spec was deleted"
