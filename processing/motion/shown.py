"""From the frames of a model or a clip, one after the other, to the frames that are shown."""

import itertools
import os
import tempfile
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Reversible, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from contract.timeline import Timeline
from processing.motion.cuts import Interval, intervals
from processing.motion.interpolator import Between, Frame, search

# Each takes about 0.2 GB at 1280x720.
_MAX_THREADS = 4
_HALF = Fraction(1, 2)


def shown(
    frames: Iterable[Frame],
    timeline: Timeline,
    between: Between = search,
    cuts: Collection[int] = (),
) -> Iterator[Frame]:
    """The frames that are shown, in their order.

    A position that is that of a source frame shows that very frame. Between two source frames, a
    frame is interpolated. Where that is impossible, because there is a cut, or needless, because
    frames are left out, the nearest source frame is shown. The last source frame is held for the
    positions after it.

    A few frames are held in memory, and those of the cross-fade. A ping-pong shows all `frames`
    twice, so it holds them, unless they can also be taken from the last one to the first.

    Args:
        frames: What the model made, `timeline.source_frames` frames (fewer for a ping-pong), in the
            same size.
        timeline: Where the shown frames lie among them.
        between: Interpolates. Several threads call it.
        cuts: The numbers of frames that are known not to go on with the one before. Other cuts are
            found.
    """
    known = {number - 1 for number in cuts}
    source: Iterable[Frame] = frames
    if timeline.wraps:
        source = _there_and_back(frames)
        known |= {timeline.source_frames - number for number in cuts}
    timed = ((Fraction(number), frame) for number, frame in enumerate(source))
    stretches = _stretches(timed, timeline, known)
    return _cross_faded(_sampled(stretches, timeline, between), timeline)


def shown_of_clip(
    timed: Iterable[tuple[Fraction, Frame]],
    timeline: Timeline,
    between: Between = search,
    *,
    scratch: Path,
) -> Iterator[Frame]:
    """The same for the frames of a clip, which need not lie at equal distances.

    A ping-pong keeps the frames in a file, because a clip may have gigabytes of them.

    Args:
        timed: The position of each frame among `timeline.source_frames`, and the frame.
        timeline: Where the shown frames lie.
        between: Interpolates. Several threads call it.
        scratch: A folder for that file. It has no name there.
    """
    if timeline.wraps:
        timed = _there_and_back_on_disk(timed, timeline.source_frames, scratch)
    return _cross_faded(_sampled(_stretches(timed, timeline), timeline, between), timeline)


def _there_and_back_on_disk(
    timed: Iterable[tuple[Fraction, Frame]], source_frames: int, scratch: Path
) -> Iterator[tuple[Fraction, Frame]]:
    turn = Fraction(source_frames, 2)
    kept: list[Fraction] = []
    with tempfile.TemporaryFile(dir=scratch) as file:
        shape: tuple[int, ...] = ()
        for position, frame in timed:
            if position > turn:
                break
            file.write(np.ascontiguousarray(frame).data)
            kept.append(position)
            shape = frame.shape
            yield position, frame
        size = int(np.prod(shape))
        for number in range(len(kept) - 1, -1, -1):
            back = source_frames - kept[number]
            if back > kept[-1]:
                file.seek(number * size)
                yield back, np.frombuffer(file.read(size), np.uint8).reshape(shape)


def _there_and_back(frames: Iterable[Frame]) -> Iterator[Frame]:
    """`frames`, then backwards to the first one again. Neither end is doubled."""
    there = frames if isinstance(frames, Reversible) else list(frames)
    yield from there
    yield from itertools.islice(reversed(there), 1, None)


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


def _sampled(
    stretches: Iterable[_Stretch], timeline: Timeline, between: Between
) -> Iterator[Frame]:
    """The frames at all positions of `timeline`."""
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


def _stretches(
    source: Iterable[tuple[Fraction, Frame]], timeline: Timeline, cuts: Collection[int] = ()
) -> Iterator[_Stretch]:
    interpolates = timeline.step < 1
    positions: deque[Fraction] = deque()

    def frames() -> Iterator[Frame]:
        for position, frame in _held(source):
            positions.append(position)
            yield frame

    number = 0
    for interval in intervals(frames()) if interpolates else _without_cuts(frames()):
        if number >= timeline.sampled_frames:
            return
        begin = positions.popleft()
        length = positions[0] - begin
        offsets = []
        while number < timeline.sampled_frames and number * timeline.step < begin + length:
            offsets.append(max(Fraction(0), (number * timeline.step - begin) / length))
            number += 1
        yield _Stretch(
            before=interval.before,
            after=interval.after,
            offsets=offsets,
            interpolates=interpolates
            and not interval.is_cut
            and begin not in cuts
            and interval.before is not interval.after,
        )


def _held(timed: Iterable[tuple[Fraction, Frame]]) -> Iterator[tuple[Fraction, Frame]]:
    """The same, and then the last frame for ever."""
    last = None
    for position, frame in timed:
        last = position, frame
        yield last
    while last is not None:
        last = last[0] + 1, last[1]
        yield last


def _without_cuts(frames: Iterable[Frame]) -> Iterator[Interval]:
    for before, after in itertools.pairwise(frames):
        yield Interval(before=before, after=after, is_cut=False)


def _cores() -> int:
    """How many cores this process may use. With several GPUs, each has a process of its own."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
