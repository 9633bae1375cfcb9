"""Builds review/<path>.yaml: a spec with rewritten prompts, for a person to change and drop."""

import json
from collections.abc import Sequence
from typing import Any

from functions import s3_keys
from functions.spec.fields import JobSpec, Video
from functions.table.records import Job, Task


def review_of(job: Job, tasks: Sequence[Task]) -> str:
    """The text of review/<path>.yaml for a job with `enhance: review`.

    Every value is filled in, so the spec makes the same videos in every folder. The values in which
    the videos differ are listed under `matrix: include:`. Values are written as JSON, because JSON
    is also YAML.
    """
    variations = _variations(job)
    tasks = tasks[::variations]
    specs = list({task.spec.model_dump_json(): task.spec for task in tasks}.values())
    plain = [_plain(spec) for spec in specs]
    varied = [
        name
        for name in Video.model_fields
        if name in plain[0] and any(one[name] != plain[0][name] for one in plain)
    ]
    lines = [
        "# The spec with its prompt rewritten. Change what you like, then drop it under jobs/,"
    ]
    lines.append(f"# as {s3_keys.name_of(job.path)}.yaml or under another name. You had written:")
    said = (
        original for t in tasks for original in t.enhancement.originals or (t.enhancement.original,)
    )
    lines += [
        f"#   {' '.join(original.split())}" for original in dict.fromkeys(said) if original.strip()
    ]
    reasons = dict.fromkeys(task.enhancement.reason for task in tasks if task.enhancement.reason)
    lines += [f"# It is not rewritten: {' '.join(reason.split())}" for reason in reasons]
    if any(one["scenes"] != plain[0]["scenes"] for one in plain):
        lines.append("# The scenes of its videos differ. This has those of the first video.")
    lines += [
        f"{name}: {_json(value)}"
        for name, value in {**plain[0], "variations": variations}.items()
        if name not in varied and value is not None
    ]
    if varied:
        lines += ["matrix:", "  include:"]
        lines += [f"    - {_json({name: one[name] for name in varied})}" for one in plain]
    else:
        lines.append("matrix: null")  # the defaults of a folder may have a matrix
    return "\n".join(lines) + "\n"


def _variations(job: Job) -> int:
    """By how many variations the videos of a job differ in the seeds of their scenes.

    Other videos are listed one by one. But a matrix has no scenes.
    """
    assert job.spec is not None  # it was accepted
    return job.spec.variations if job.scene_count else 1


def _plain(spec: JobSpec) -> dict[str, Any]:
    """The values of a spec. A seed is left out where a scene would get the same one anyway."""
    plain = spec.model_dump(mode="json", exclude={"matrix", "aspect"})
    if not spec.scenes or spec.seed is None:
        return plain
    derived = all(scene.seed == spec.seed + index for index, scene in enumerate(spec.scenes))
    left_out = {"seed"} if derived else set[str]()
    scenes = [
        scene.model_dump(mode="json", exclude_none=True, exclude=left_out) for scene in spec.scenes
    ]
    # A prompt that is empty would be a second one beside those of the scenes.
    return {**{name: value for name, value in plain.items() if name != "prompt"}, "scenes": scenes}


def _json(value: object) -> str:
    """A value as JSON. Letters stay as they are; line ends and control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
