"""Starting the embedded cloud as a child process, and ending it."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local import ROOT
from local.cloud.clients import client
from local.cloud.server import LOG_FILE, READY_FILE

_LOG_TAIL_BYTES = 4000


class CloudFailed(Exception):
    """The embedded cloud did not start, or did not end in time."""


class EmbeddedCloud:
    """The cloud as a context manager: it runs inside of the `with` block.

    The child holds the other end of a pipe of ours, so it ends when this process does, whatever
    kills it.
    """

    def __init__(
        self,
        state: Path,
        *,
        port: int = 0,
        persist: bool = False,
        quota: Mapping[str, int] | None = None,
        interpreter: str = sys.executable,
        stop_grace_seconds: float = 120,
        start_deadline_seconds: float = 60,
    ) -> None:
        """
        Arguments:
            state: the folder for everything that the cloud writes.
            port: 0 takes the last run's port when the state is kept, or any that is free.
            persist: whether buckets, tables, queues, stacks and jobs outlive the cloud.
            quota: instances that may run at once, by type. A type not named has no limit.
            interpreter: what `python3` means in a processing job.
            stop_grace_seconds: what a stopped processing job has between SIGTERM and SIGKILL.
            start_deadline_seconds: the longest that starting may take.
        """
        self.state = state.resolve()
        self._command = [
            *(sys.executable, "-m", "local.cloud.server"),
            *("--state", str(self.state), "--port", str(port)),
            *("--quota", json.dumps(dict(quota or {})), "--interpreter", interpreter),
            *("--stop-grace-seconds", str(stop_grace_seconds)),
            *(["--persist"] if persist else []),
        ]
        self._start_deadline_seconds = start_deadline_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint = ""
        self._clients: dict[str, Any] = {}

    @property
    def endpoint(self) -> str:
        """Where it answers, as `http://127.0.0.1:PORT`."""
        return self._endpoint

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            CloudFailed: it does not run.
        """
        if self._process is None:
            raise CloudFailed("the embedded cloud does not run")
        return self._process.pid

    def client(self, service: str) -> Any:
        """A boto3 client for this cloud; the same one each time."""
        if service not in self._clients:
            self._clients[service] = client(service, self._endpoint)
        return self._clients[service]

    def start(self) -> None:
        """Start the server and wait until it answers. Nothing is left when that does not succeed.

        Raises:
            CloudFailed: it ended, or did not answer in time; with the end of its log.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        ready = self.state / READY_FILE
        ready.unlink(missing_ok=True)
        # What stops the server before it opens its log belongs there too.
        with (self.state / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                # Found by its place and not by PYTHONPATH, which Lambda functions would inherit.
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # An interrupt at the terminal is for us; the server sees us end.
                start_new_session=True,
            )
        deadline = time.monotonic() + self._start_deadline_seconds
        while not ready.exists():
            if self._process.poll() is not None:
                raise CloudFailed(f"the embedded cloud ended at once\n{self.log_tail()}")
            if time.monotonic() > deadline:
                waited = f"{self._start_deadline_seconds:g} s"
                raise CloudFailed(
                    f"the embedded cloud did not start in {waited}\n{self.log_tail()}"
                )
            time.sleep(0.02)
        self._endpoint = json.loads(ready.read_bytes())["endpoint"]
        self._clients = {}

    def stop(self, *, deadline_seconds: float = 25) -> None:
        """End the server and wait for it. Does nothing when it does not run.

        Raises:
            CloudFailed: it had to be killed.
        """
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise CloudFailed(f"the embedded cloud had to be killed\n{self.log_tail()}") from None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Do nothing while the server runs.

        Raises:
            CloudFailed: it has ended by itself.
        """
        if self._process is None or self._process.poll() is not None:
            raise CloudFailed(f"the embedded cloud has ended\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of the server's log."""
        try:
            return (self.state / LOG_FILE).read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"
