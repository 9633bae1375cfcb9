"""How long a video takes and what it costs, before it is made.

Until finished processing jobs have shown how long things take, these figures of November 2026 are
used:

- Rendering at a model's own size, frames and steps on one H100 takes 45 s (2b), 90 s (5b) and 550 s
  (1.5-5B), according to the model cards. Other instances: computed from peak rates, not measured.
- Wan2.2-5B takes 120 s there for 121 frames of 704x1280. This is computed: 54.7 PFLOP take 99 s at
  the rate that an H100 had for one compiled pass at 480x832 (553 TFLOP/s), and decoding in tiles
  about 20 s. A video of 480x832 takes 17.5 PFLOP, about half of the 33.2 PFLOP of one of 5b.
- From the creation of a processing job to the running worker it takes 300 s, because an image of 17
  to 20 GB is pulled in 4 to 6 minutes. Loading about 20 GB of weights takes 60 s more.
- Prices are AWS's on-demand ones per hour of processing in us-east-1.

Everything else is learned from processing jobs that ended, as moving averages. The work of a task
is assumed to grow with its pixels, frames and steps. Attention grows faster than that, so an
estimate is rough for a size that nothing was learned from. Frames are interpolated and files are
encoded while the next video is rendered. This counts where it takes longer than the rendering
(`spec/work.py` has its figures), and it is not learned.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract.catalogue import MODELS, Mode, Preset
from contract.document import Document
from contract.instance_types import gpus
from contract.manifest import Parameters
from contract.outcome import Rendered
from functions.settings import Settings
from functions.spec.fields import JobSpec, parameters_of
from functions.spec.work import work_of, writing_seconds_of
from functions.table.records import Attempt, Learned, QueueEntry, Rate

STARTUP_SECONDS = 300.0
_LOADING_SECONDS = {"demo": 2.0}
_LOADING_SECONDS_OF_OTHERS = 60.0
_H100_SECONDS = {
    "demo": 1.0,
    "cogvideox-2b": 45.0,
    "cogvideox-5b": 90.0,
    "cogvideox1.5-5b": 550.0,
    "wan2.2-5b": 120.0,
}
_H100_SECONDS_OF_OTHERS = 550.0
# Speed by family against one H100.
_SPEED = {
    "p5": 1.0, "g7e": 0.6, "g7": 0.45, "g6e": 0.45, "g6": 0.12, "g5": 0.1, "g4dn": 0.05,
}  # fmt: skip
_SPEED_OF_OTHERS = 0.1
USD_PER_HOUR: Mapping[str, float] = {
    "ml.p5.4xlarge": 7.91,
    "ml.g6e.xlarge": 2.61,
    "ml.g6.xlarge": 1.13,
    "ml.g5.4xlarge": 2.03,
}
"""Prices of the instance types whose price is known."""
# The weight of a finished job against all before it. The first few have equal weights.
_NEWEST_WEIGHT = 0.2


@dataclass(frozen=True)
class TaskEstimate:
    """What one video is expected to take and to cost."""

    startup_seconds: float
    """From the opening of an attempt to the start of its first video. All its videos share it."""
    render_seconds: float
    """Or what writing its files takes, if that is longer."""
    usd_low: float | None
    """As one of a full processing job. None: the price of the instance type is not known."""
    usd_high: float | None
    """Alone in a processing job."""


def rate_of(learned: Learned, model: str, mode: Mode, preset: Preset, instance_type: str) -> Rate:
    """The rate that was learned, or the one assumed above."""
    for rate in learned.rates:
        if _key(rate) == (model, mode, preset, instance_type):
            return rate
    seconds = _H100_SECONDS.get(model, _H100_SECONDS_OF_OTHERS)
    family = instance_type.split(".")[1] if instance_type.count(".") == 2 else ""
    return Rate(
        model=model,
        mode=mode,
        preset=preset,
        instance_type=instance_type,
        startup_seconds=STARTUP_SECONDS,
        loading_seconds=_LOADING_SECONDS.get(model, _LOADING_SECONDS_OF_OTHERS),
        seconds_per_work=seconds / _SPEED.get(family, _SPEED_OF_OTHERS) / _own_work(model, mode),
        jobs=0,
    )


def _key(rate: Rate) -> tuple[str, Mode, Preset, str]:
    return rate.model, rate.mode, rate.preset, rate.instance_type


def _own_work(model: str, mode: Mode) -> float:
    """The work of a video of the model's own size, frames and steps."""
    m = MODELS[model]
    weights = m.weights.get(mode) or next(iter(m.weights.values()))
    size = weights.sizes[0]
    return size.height * size.width * m.num_frames[0] * m.num_inference_steps[Preset.STANDARD] / 1e6


def of_task(
    learned: Learned,
    parameters: Parameters,
    model: str,
    instance_type: str,
    *,
    outputs: Iterable[str] = ("mp4",),
    tasks_in_full_job: int = 128,
) -> TaskEstimate:
    """Time and cost of one task.

    Args:
        outputs: the `outputs` of its spec.
        tasks_in_full_job: how many tasks share a start-up at most (`max_tasks_per_job`).
    """
    rate = rate_of(learned, model, parameters.mode, parameters.preset, instance_type)
    startup = rate.startup_seconds + rate.loading_seconds
    writing = writing_seconds_of(parameters, outputs)
    render = max(rate.seconds_per_work * work_of(parameters), writing)
    price = USD_PER_HOUR.get(instance_type)
    shared = startup / tasks_in_full_job + render / gpus(instance_type)
    return TaskEstimate(
        startup_seconds=startup,
        render_seconds=render,
        usd_low=None if price is None else shared / 3600 * price,
        usd_high=None if price is None else (startup + render) / 3600 * price,
    )


def seconds_of(rate: Rate, entry: QueueEntry) -> float:
    """The same `render_seconds` for a task in the queue."""
    return max(rate.seconds_per_work * entry.work, entry.writing_seconds)


def with_samples(learned: Learned, attempt: Attempt, samples: Sequence[Rendered]) -> Learned:
    """The learned rates after one more processing job.

    Args:
        samples: some of its results. The first one is that of its first task.
    """
    first = samples[0]
    until_first = (first.started_at - attempt.created_at).total_seconds()
    if until_first < 0:
        return learned  # clocks that disagree teach nothing
    startup = max(0.0, until_first - first.seconds.loading)
    for mode in dict.fromkeys(sample.parameters.mode for sample in samples):
        mine = [sample for sample in samples if sample.parameters.mode == mode]
        learned = _with_mode(learned, attempt, mode, mine, startup, first.seconds.loading)
    return learned


def _with_mode(
    learned: Learned, attempt: Attempt, mode: Mode, samples: Sequence[Rendered],
    startup: float, loading: float,
) -> Learned:  # fmt: skip
    """The same for the samples of one mode. The start-up was that of the whole processing job."""
    seconds = sum(s.seconds.rendering for s in samples)
    work = sum(work_of(s.parameters) for s in samples)
    if seconds <= 0:
        return learned
    preset = samples[0].parameters.preset
    old = rate_of(learned, attempt.model, mode, preset, attempt.instance_type)
    weight = max(_NEWEST_WEIGHT, 1 / (old.jobs + 1))

    def mixed(before: float, now: float) -> float:
        return before + weight * (now - before)

    new = Rate(
        model=old.model,
        mode=old.mode,
        preset=old.preset,
        instance_type=old.instance_type,
        startup_seconds=mixed(old.startup_seconds, startup),
        loading_seconds=mixed(old.loading_seconds, loading),
        seconds_per_work=mixed(old.seconds_per_work, seconds / work),
        jobs=old.jobs + 1,
    )
    others = tuple(rate for rate in learned.rates if _key(rate) != _key(new))
    return Learned(rates=(*others, new))


class Cost(Document):
    """How long an instance renders videos, and what that costs."""

    gpu_minutes: float
    """Of rendering, or of writing files where that takes longer, without the start-up."""
    startup_minutes: float
    """Of one processing job. Other videos may share it."""
    usd_low: float | None
    """As a part of full processing jobs. None: the price of the instance type is not known."""
    usd_high: float | None
    """In a processing job of their own. None: as above."""
    instance_type: str


def cost(learned: Learned, specs: Sequence[JobSpec], settings: Settings) -> Cost:
    """What resolved specs are expected to take on the first instance type of the deployment."""
    return cost_on(
        learned, specs, settings.instance_preferences[0], tasks=settings.max_tasks_per_job
    )


def cost_on(learned: Learned, specs: Sequence[JobSpec], instance_type: str, *, tasks: int) -> Cost:
    """What resolved specs are expected to take. A full processing job has so many `tasks`."""
    each = [
        of_task(
            learned,
            parameters_of(spec),
            str(spec.model),
            instance_type,
            outputs=spec.outputs,
            tasks_in_full_job=tasks,
        )
        for spec in specs
    ]
    startup = max(one.startup_seconds for one in each)
    render = sum(one.render_seconds for one in each)
    at_once = min(gpus(instance_type), len(each))
    price = USD_PER_HOUR.get(instance_type)
    return Cost(
        gpu_minutes=round(render / 60, 2),
        startup_minutes=round(startup / 60, 2),
        usd_low=None if price is None else round(sum(one.usd_low or 0 for one in each), 3),
        usd_high=None if price is None else round((startup + render / at_once) / 3600 * price, 3),
        instance_type=instance_type,
    )
