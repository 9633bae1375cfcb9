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
- Finishing a clip needs no weights. It takes the seconds that one core needs (`spec/work.py`),
  although several cores help, because encoders do not use all of them.
- Prices are AWS's on-demand ones per hour of processing in us-east-1.

Everything else is learned from processing jobs that ended, as moving averages. The work of a task
is assumed to grow with its pixels, frames and steps. Attention grows faster than that, so an
estimate is rough for a size that nothing was learned from. Frames are interpolated and files are
encoded while the next video is rendered. This counts where it takes longer than the rendering
(`spec/work.py` has its figures), and it is not learned.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from contract.catalogue import MODELS, NO_MODEL, Mode, Preset, folder_of
from contract.document import Document
from contract.instance_types import gpus
from contract.manifest import Parameters
from contract.outcome import Rendered
from functions.planning.batching import Expected
from functions.settings import Settings
from functions.spec.clip import Clip
from functions.spec.fields import JobSpec, parameters_of
from functions.spec.work import work_by_mode, work_of, writing_seconds_of
from functions.table.records import Attempt, Learned, QueueEntry, Rate

STARTUP_SECONDS = 300.0
_LOADING_SECONDS = {"demo": 2.0, NO_MODEL: 0.0}
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
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
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
    return Rate(
        model=model,
        mode=mode,
        preset=preset,
        instance_type=instance_type,
        startup_seconds=STARTUP_SECONDS,
        loading_seconds=_LOADING_SECONDS.get(model, _LOADING_SECONDS_OF_OTHERS),
        seconds_per_work=_seconds_per_work(model, mode, instance_type),
        jobs=0,
    )


def _seconds_per_work(model: str, mode: Mode, instance_type: str) -> float:
    if mode == Mode.FINISHING:
        return 1.0
    seconds = _H100_SECONDS.get(model, _H100_SECONDS_OF_OTHERS)
    family = instance_type.split(".")[1] if instance_type.count(".") == 2 else ""
    return seconds / _SPEED.get(family, _SPEED_OF_OTHERS) / _own_work(model, mode)


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
    work = work_by_mode(parameters)
    rates = [rate_of(learned, model, mode, parameters.preset, instance_type) for mode in work]
    startup = _startup(rates)
    writing = writing_seconds_of(parameters, outputs)
    render = max(_rendering(rates, work.values()), writing)
    price = USD_PER_HOUR.get(instance_type)
    shared = startup / tasks_in_full_job + render / gpus(instance_type)
    return TaskEstimate(
        startup_seconds=startup,
        render_seconds=render,
        usd_low=None if price is None else shared / 3600 * price,
        usd_high=None if price is None else (startup + render) / 3600 * price,
    )


def expected(learned: Learned, entry: QueueEntry, instance_type: str) -> Expected:
    """The same for a task in the queue, without its cost."""
    work = {entry.mode: entry.work - entry.image_work}
    if entry.image_work or entry.with_image_model:
        work[Mode.IMAGE_TO_VIDEO] = entry.image_work
    rates = [rate_of(learned, entry.model, mode, entry.preset, instance_type) for mode in work]
    return Expected(
        startup_seconds=_startup(rates),
        render_seconds=max(_rendering(rates, work.values()), entry.writing_seconds),
    )


def _startup(rates: Sequence[Rate]) -> float:
    """How long a processing job takes until its first video.

    Args:
        rates: one for each mode of the video. Modes with the same model folder are loaded once.
    """
    loaded = {folder_of(rate.model, rate.mode): rate.loading_seconds for rate in reversed(rates)}
    return rates[0].startup_seconds + sum(loaded.values())


def _rendering(rates: Iterable[Rate], work: Iterable[float]) -> float:
    pairs = zip(rates, work, strict=True)
    return sum(rate.seconds_per_work * amount for rate, amount in pairs)


def with_samples(learned: Learned, attempt: Attempt, samples: Sequence[Rendered]) -> Learned:
    """The learned rates after one more processing job.

    A video with scenes of several modes does not say how long each of them took, and a processing
    job that begins with one does not say how long each model folder took to load.

    Args:
        samples: some of its results. The first one is that of its first task.
    """
    first = samples[0]
    samples = [sample for sample in samples if len(sample.parameters.modes) == 1]
    if first not in samples:
        return learned
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
    # A clip that is only finished is not rendered.
    finishes = mode == Mode.FINISHING
    seconds = sum(s.seconds.occupied if finishes else s.seconds.rendering for s in samples)
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


@dataclass(frozen=True)
class Making:
    """A video to make, as far as its cost depends on it."""

    parameters: Parameters
    model: str
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, spec: JobSpec, clip: Clip | None = None) -> Self:
        """The video of a resolved spec.

        Args:
            clip: the clip that is finished, if one is.
        """
        return cls(parameters_of(spec, clip), spec.model or NO_MODEL, spec.outputs)


def cost(learned: Learned, makings: Sequence[Making], settings: Settings) -> Cost:
    """What videos are expected to take, each on the first instance type for its mode."""
    return cost_by_type(
        learned,
        makings,
        lambda mode: settings.instance_types_for(mode)[0],
        tasks=settings.max_tasks_per_job,
    )


def cost_by_type(
    learned: Learned,
    makings: Sequence[Making],
    instance_type_for: Callable[[Mode], str],
    *,
    tasks: int,
) -> Cost:
    """The same, with `instance_type_for` a mode, and so many `tasks` in a full processing job."""
    by_type: dict[str, list[Making]] = {}
    for one in makings:
        by_type.setdefault(instance_type_for(one.parameters.mode), []).append(one)
    costs = [cost_on(learned, some, name, tasks=tasks) for name, some in by_type.items()]
    return costs[0] if len(costs) == 1 else _together(costs)


def _together(costs: Sequence[Cost]) -> Cost:
    """The costs of videos on instances of several types, which work at the same time."""
    low, high = [one.usd_low for one in costs], [one.usd_high for one in costs]
    return Cost(
        gpu_minutes=round(sum(one.gpu_minutes for one in costs), 2),
        startup_minutes=max(one.startup_minutes for one in costs),
        usd_low=None if None in low else round(sum(one or 0 for one in low), 3),
        usd_high=None if None in high else round(sum(one or 0 for one in high), 3),
        instance_type=" and ".join(one.instance_type for one in costs),
    )


def cost_on(learned: Learned, makings: Sequence[Making], instance_type: str, *, tasks: int) -> Cost:
    """What videos are expected to take. A full processing job has so many `tasks`."""
    each = [
        of_task(
            learned,
            one.parameters,
            one.model,
            instance_type,
            outputs=one.outputs,
            tasks_in_full_job=tasks,
        )
        for one in makings
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
