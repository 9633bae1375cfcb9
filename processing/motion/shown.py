"""From the frames of the model, one after the other, to the frames that are shown."""

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from contract.timeline import Timeline
from processing.motion.cuts import Interval, intervals
from processing.motion.interpolator import Between, Frame, search

# Each takes about 0.2 GB at 1280x720.
_MAX_THREADS = 4
_HALF = Fraction(1, 2)


def shown(
    frames: Iterable[Frame], timeline: Timeline, between: Between = search
) -> Iterator[Frame]:
    """The frames that are shown, in their order.

    A position that is that of a source frame shows that very frame. Between two source frames, a
    frame is interpolated. Where that is impossible, because there is a cut, or needless, because
    frames are left out, the nearest source frame is shown. The last source frame is held for the
    positions after it.

    A few frames are held in memory, and those of the cross-fade. A ping-pong holds all `frames`,
    because it shows them twice.

    Args:
        frames: What the model made, `timeline.source_frames` frames (fewer for a ping-pong), in the
            same size.
        timeline: Where the shown frames lie among them.
        between: Interpolates. Several threads call it.
    """
    source = _there_and_back(frames) if timeline.wraps else frames
    return _cross_faded(_sampled(source, timeline, between), timeline)


def _there_and_back(frames: Iterable[Frame]) -> list[Frame]:
    """`frames`, then backwards to the first one again. Neither end is doubled."""
    there = list(frames)
    return there + there[-2::-1]


def _cross_faded(frames: Iterator[Frame], timeline: Timeline) -> Iterator[Frame]:
    """Blend the end with the beginning, which is left out. The first frame then follows the last.

    With 3 frames to fade, the last frames show 1/4, 2/4 and 3/4 of the beginning.
    """
    beginning = list(itertools.islice(frames, timeline.fade_frames))
    unchanged = timeline.num_frames - timeline.fade_frames
    yield from itertools.islice(frames, unchanged)
    for number, (end, begin) in enumerate(zip(frames, beginning, strict=True), 1):
        share = number / (timeline.fade_frames + 1)
        yield np.rint(end + share * (begin.astype(np.float32) - end)).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """The shown frames from one source frame to just before the next."""

    before: Frame
    after: Frame
    offsets: Sequence[Fraction]
    """Where they lie: 0 is the frame before, 1 the one after."""
    interpolates: bool
    """Whether frames between the two can be made. Otherwise the nearest of the two is shown."""

    def frames(self, between: Between) -> list[Frame]:
        """The frames at the offsets."""
        if not self.interpolates:
            return [self.after if offset > _HALF else self.before for offset in self.offsets]
        exact = [self.before for offset in self.offsets if offset == 0]
        inside = [offset for offset in self.offsets if offset > 0]
        if not inside:
            return exact
        return exact + between(self.before, self.after, inside)


def _sampled(source: Iterable[Frame], timeline: Timeline, between: Between) -> Iterator[Frame]:
    """The frames at all positions of `timeline`."""
    stretches = _stretches(source, timeline)
    if timeline.step >= 1:
        for stretch in stretches:
            yield from stretch.frames(between)
    else:
        yield from _in_threads(stretches, between)


def _in_threads(stretches: Iterable[_Stretch], between: Between) -> Iterator[Frame]:
    """The frames of `stretches` in their order. Some stretches are in work at the same time."""
    from processing.motion.warping import use_one_core  # noqa: PLC0415

    threads = min(_MAX_THREADS, _cores())
    with ThreadPoolExecutor(threads, "interpolation", use_one_core) as executor:
        begun: deque[Future[list[Frame]]] = deque()
        for stretch in stretches:
            begun.append(executor.submit(stretch.frames, between))
            if len(begun) > threads:
                yield from begun.popleft().result()
        while begun:
            yield from begun.popleft().result()


def _stretches(source: Iterable[Frame], timeline: Timeline) -> Iterator[_Stretch]:
    interpolates = timeline.step < 1
    held = _held(source)
    all_intervals = intervals(held) if interpolates else _without_cuts(held)
    number = 0
    for position, interval in enumerate(all_intervals):
        if number >= timeline.sampled_frames:
            return
        offsets = []
        while number < timeline.sampled_frames and number * timeline.step < position + 1:
            offsets.append(number * timeline.step - position)
            number += 1
        yield _Stretch(
            before=interval.before,
            after=interval.after,
            offsets=offsets,
            interpolates=interpolates
            and not interval.is_cut
            and interval.before is not interval.after,
        )


def _held(frames: Iterable[Frame]) -> Iterator[Frame]:
    """`frames`, and then the last one for ever."""
    last = None
    for frame in frames:
        yield frame
        last = frame
    while last is not None:
        yield last


def _without_cuts(frames: Iterable[Frame]) -> Iterator[Interval]:
    for before, after in itertools.pairwise(frames):
        yield Interval(before=before, after=after, is_cut=False)


def _cores() -> int:
    """How many cores this process may use. With several GPUs, each has a process of its own."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
