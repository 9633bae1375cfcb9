"""Copies of this process, which go on alone from where they are made."""

import os
import shutil
import warnings
from tempfile import mkdtemp


class Copies:
    """Makes copies of this process, one after the other, and keeps what they say at their ends."""

    def __init__(self) -> None:
        self.made = 0
        self.said: list[str] = []
        """What copies said that had something to say."""
        self._answer: int | None = None

    @property
    def is_copy(self) -> bool:
        """Whether this process is a copy."""
        return self._answer is not None

    def make(self) -> bool:
        """Make a copy, and wait for its end. Returns True in the copy, and False afterwards.

        A copy makes no copies.
        """
        if self.is_copy:
            return False
        self.made += 1
        read, write = os.pipe()
        with warnings.catch_warnings():
            # The copy uses none of the other threads of a process of pytest.
            warnings.simplefilter("ignore", DeprecationWarning)
            process_id = os.fork()
        if process_id == 0:
            os.close(read)
            self._answer = write
            return True
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as answer:
            said = answer.read()
        _, status = os.waitpid(process_id, 0)
        if said or status:
            self.said.append(said or f"copy {self.made} of the process ended with status {status}")
        return False

    def end(self, said: str) -> None:
        """End this process, which is a copy.

        Args:
            said: what was wrong. Empty: nothing.
        """
        assert self._answer is not None
        with os.fdopen(self._answer, "w", encoding="utf-8") as answer:
            answer.write(said)
        os._exit(0)


class Folder:
    """A temporary folder that only the process removes that has made it."""

    def __init__(self) -> None:
        self._process_id = os.getpid()
        self._path = mkdtemp()

    def __enter__(self) -> str:
        return self._path

    def __exit__(self, *_: object) -> None:
        if self._process_id == os.getpid():
            shutil.rmtree(self._path)
