"""Builds review/<path>.yaml: a spec with rewritten prompts, for a person to change and drop."""

import json
from collections.abc import Sequence

from functions import s3_keys
from functions.spec.fields import Video
from functions.table.records import Job, Task


def review_of(job: Job, tasks: Sequence[Task]) -> str:
    """The text of review/<path>.yaml for a job with `enhance: review`.

    Every value is filled in, so the spec makes the same videos in every folder. The values in which
    the videos differ are listed under `matrix: include:`. Values are written as JSON, because JSON
    is also YAML.
    """
    specs = list({task.spec.model_dump_json(): task.spec for task in tasks}.values())
    plain = [spec.model_dump(mode="json", exclude={"matrix", "aspect"}) for spec in specs]
    varied = [
        name
        for name in Video.model_fields
        if name in plain[0] and any(one[name] != plain[0][name] for one in plain)
    ]
    lines = [
        "# The spec with its prompt rewritten. Change what you like, then drop it under jobs/,"
    ]
    lines.append(f"# as {s3_keys.name_of(job.path)}.yaml or under another name. You had written:")
    originals = dict.fromkeys(task.enhancement.original for task in tasks)
    lines += [f"#   {' '.join(original.split())}" for original in originals if original.strip()]
    reasons = dict.fromkeys(task.enhancement.reason for task in tasks if task.enhancement.reason)
    lines += [f"# It is not rewritten: {' '.join(reason.split())}" for reason in reasons]
    lines += [
        f"{name}: {_json(value)}"
        for name, value in plain[0].items()
        if name not in varied and value is not None
    ]
    if varied:
        lines += ["matrix:", "  include:"]
        lines += [f"    - {_json({name: one[name] for name in varied})}" for one in plain]
    else:
        lines.append("matrix: null")  # the defaults of a folder may have a matrix
    return "\n".join(lines) + "\n"


def _json(value: object) -> str:
    """A value as JSON. Letters stay as they are; line ends and control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
