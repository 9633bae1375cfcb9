"""Shares the tasks of a manifest out among the processes of one machine (see `several`)."""

import os
from pathlib import Path


class Share:
    """What one of several processes knows about the others: a folder that all of them share."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self.message = folder / f"message-{number}"
        """The file for a line that says why this process rendered nothing."""
        self.problem = folder / f"problem-{number}.json"
        """The file for a problem that concerns every task."""

    def take(self, task_id: str) -> bool:
        """Take a task. Returns False if another process has taken it before."""
        try:
            os.close(os.open(self._task(task_id), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def give_back(self, task_id: str) -> None:
        """Let any process take a task again."""
        self._task(task_id).unlink()

    def _task(self, task_id: str) -> Path:
        return self._folder / f"task-{task_id}"
