"""Builds review/<path>.yaml: a spec with rewritten prompts, for a person to change and drop."""

import json
from collections.abc import Iterable, Sequence
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
    variations = variations_of(job)
    tasks = tasks[::variations]
    specs = without_equal(task.spec for task in tasks)
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
    if have_other_scenes(specs):
        lines.append("# The scenes of its videos differ. This has those of the first video.")
    fields = together(specs, variations)
    matrix = fields.pop("matrix")
    lines += [f"{name}: {to_json(value)}" for name, value in fields.items() if value is not None]
    if matrix is not None:
        lines += ["matrix:", "  include:"]
        lines += [f"    - {to_json(entry)}" for entry in matrix["include"]]
    else:
        lines.append("matrix: null")  # the defaults of a folder may have a matrix
    return "\n".join(lines) + "\n"


def together(specs: Sequence[JobSpec], variations: int) -> dict[str, Any]:
    """The values of one spec that makes the videos of several resolved specs.

    Args:
        specs: without equal ones.
        variations: how many videos are made of each.
    """
    plain = [_plain(spec) for spec in specs]
    varied = [
        name
        for name in Video.model_fields
        if name in plain[0] and any(one[name] != plain[0][name] for one in plain)
    ]
    same = {name: value for name, value in plain[0].items() if name not in varied}
    include = [{name: one[name] for name in varied} for one in plain]
    matrix = {"include": include} if varied else None
    return {**same, "variations": variations, "matrix": matrix}


def without_equal(specs: Iterable[JobSpec]) -> list[JobSpec]:
    """The specs, each once."""
    return list({spec.model_dump_json(): spec for spec in specs}.values())


def have_other_scenes(specs: Sequence[JobSpec]) -> bool:
    """Whether the videos of several resolved specs differ in their scenes.

    A matrix has no scenes, so `together` uses those of the first one.
    """
    scenes = [_plain(spec)["scenes"] for spec in specs]
    return any(one != scenes[0] for one in scenes)


def variations_of(job: Job) -> int:
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


def to_json(value: object) -> str:
    """A value as JSON. Letters stay as they are; line ends and control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
