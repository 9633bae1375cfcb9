"""Writes the files of a video in a thread of its own, while the next video is rendered.

Encoding needs seconds of the CPU for each video, and meanwhile the GPU would wait.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType


@contextmanager
def writing() -> Iterator["Writer"]:
    """Provide a writer. However the `with` block ends, the work that was begun is done first.

    Inside of the block, SIGTERM ends the program as `sys.exit` does, so it waits for the writer,
    too. SageMaker sends this signal two minutes before it kills a processing job that was stopped.
    """
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as executor:
            yield Writer(executor)
    finally:
        signal.signal(signal.SIGTERM, before)


class Writer:
    """Does pieces of work one after the other, in a thread of its own."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._latest: Future[None] | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Begin `work` as soon as the work before it is done, and do not wait for its end.

        Waiting for the work before limits the memory: the frames of a video take up to half a
        gigabyte.

        Raises:
            Exception: what the work before raised.
        """
        self.wait()
        self._latest = self._executor.submit(work)

    def wait(self) -> None:
        """Wait until all work is done.

        Raises:
            Exception: what the work raised.
        """
        if self._latest is not None:
            self._latest.result()


def _exit(number: int, _frame: FrameType | None) -> None:
    # The exit status that shells and containers show for a signal.
    sys.exit(128 + number)
