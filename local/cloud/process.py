"""Starts the embedded cloud as a child process, and stops it."""

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
    """The embedded cloud did not start, ended by itself, or did not stop in time."""


class EmbeddedCloud:
    """The embedded cloud as a context manager; it runs inside the `with` block.

    The child process reads from a pipe that this process holds open. It therefore ends when this
    process ends, even by a kill.
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
        Args:
            state: the folder for everything that the cloud writes.
            port: the port to serve on. 0 is the port of the last run if the state was kept and the
                port is free, otherwise any free port.
            persist: whether buckets, tables, queues, stacks and jobs are kept over restarts.
            quota: instances that may run at once, by instance type. Other types have no limit.
            interpreter: the program that runs when a processing job says `python3`.
            stop_grace_seconds: time between SIGTERM and SIGKILL when a processing job is stopped.
            start_deadline_seconds: the maximum time to start.
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
        """The URL of the cloud, `http://127.0.0.1:PORT`."""
        return self._endpoint

    @property
    def pid(self) -> int:
        """The process id of the server.

        Raises:
            CloudFailed: the server is not running.
        """
        if self._process is None:
            raise CloudFailed("the embedded cloud is not running")
        return self._process.pid

    def client(self, service: str) -> Any:
        """Return a boto3 client for this cloud; one client per service is reused."""
        if service not in self._clients:
            self._clients[service] = client(service, self._endpoint)
        return self._clients[service]

    def start(self) -> None:
        """Start the server and wait until it answers. If that fails, stop it again.

        Raises:
            CloudFailed: the server ended or did not answer in time. The message has the end of its
                log.
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
        # Errors before the server opens its log should be in the log, too.
        with (self.state / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                # The package is found through the folder, because Lambda functions would inherit a
                # PYTHONPATH.
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C must reach only this process, which then stops the server.
                start_new_session=True,
            )
        deadline = time.monotonic() + self._start_deadline_seconds
        while not ready.exists():
            if self._process.poll() is not None:
                raise CloudFailed(
                    f"the embedded cloud ended while it was starting\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                waited = f"{self._start_deadline_seconds:g} s"
                raise CloudFailed(
                    f"the embedded cloud did not start in {waited}\n{self.log_tail()}"
                )
            time.sleep(0.02)
        self._endpoint = json.loads(ready.read_bytes())["endpoint"]
        self._clients = {}

    def stop(self, *, deadline_seconds: float = 25) -> None:
        """Stop the server and wait for its end. Do nothing if it is not running.

        Raises:
            CloudFailed: the server had to be killed.
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
        """Check that the server is running.

        Raises:
            CloudFailed: the server is not running.
        """
        if self._process is None or self._process.poll() is not None:
            raise CloudFailed(f"the embedded cloud has ended\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of the server's log."""
        try:
            return (self.state / LOG_FILE).read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"
