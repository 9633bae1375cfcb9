"""Deploys reeldrop to the embedded cloud, with the demo model and mail."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import ROOT
from local.cloud.mail import subscribe_mail
from local.cloud.process import EmbeddedCloud
from local.command import studio
from local.command.assembly import assembly
from local.command.deploy import deploy
from local.command.models import folders_of, import_folder

_MODELS = "models"


@dataclass(frozen=True)
class DropFolder:
    """A deployed drop folder."""

    endpoint: str
    outputs: Mapping[str, str]
    """The outputs of the stack."""

    @property
    def input_bucket(self) -> str:
        """The bucket that people drop files into."""
        return self.outputs["InputBucket"]

    @property
    def output_bucket(self) -> str:
        """The bucket with videos and statuses."""
        return self.outputs["OutputBucket"]

    @property
    def work_bucket(self) -> str:
        """The bucket with weights and what processing jobs read and write."""
        return self.outputs["WorkBucket"]

    @property
    def topic_arn(self) -> str:
        """The topic for mails about jobs."""
        return self.outputs["TopicArn"]

    @property
    def event_bus_name(self) -> str:
        """The bus for events about the ends of jobs."""
        return self.outputs["EventBusName"]

    @property
    def studio_url(self) -> str:
        """The page in the browser."""
        return self.outputs["StudioUrl"]

    @property
    def drop_policy_arn(self) -> str:
        """The policy for people who drop."""
        return self.outputs["DropPolicyArn"]

    @property
    def watch_policy_arn(self) -> str:
        """The policy for people who watch."""
        return self.outputs["WatchPolicyArn"]

    def as_outputs(self) -> dict[str, str]:
        """The outputs of the stack, with the endpoint."""
        return {"Endpoint": self.endpoint, **self.outputs}


def make_ready(home: Path) -> None:
    """Create the assembly and the demo model in `home`, unless they are there from an earlier run.

    Raises:
        SynthesisFailed: the stacks could not be synthesised.
        CalledProcessError: the demo model could not be installed.
    """
    assembly(home)
    subprocess.run(
        [sys.executable, "-m", "demo_model.install", str(home / _MODELS)],
        cwd=ROOT,
        check=True,
        # Ctrl-C must reach only this process, or the child would print a traceback.
        process_group=0,
    )


def open_drop_folder(home: Path, cloud: EmbeddedCloud) -> DropFolder:
    """Deploy reeldrop to a running cloud. It is safe to repeat on a cloud that kept its state.

    Raises:
        DeployFailed: a stack could not be deployed.
        SynthesisFailed: the stacks could not be synthesised.
    """
    outputs = deploy(assembly(home), cloud.endpoint)
    url = studio.address(cloud.endpoint, outputs["StudioUrl"])
    studio.open_studio(cloud, outputs["StudioUsers"], url)
    folder = DropFolder(cloud.endpoint, {**outputs, "StudioUrl": url})
    subscribe_mail(cloud.endpoint, folder.topic_arn)
    upload_models(home / _MODELS, cloud, folder.work_bucket)
    return folder


def upload_models(models: Path, cloud: EmbeddedCloud, bucket: str) -> None:
    """Import every model folder below `models`, unless it was imported already.

    Args:
        models: a folder with one folder for each model folder of the demo model.
        cloud: the running cloud.
        bucket: the work bucket.
    """
    s3 = cloud.client("s3")
    for name, (mode, _) in folders_of("demo").items():
        import_folder(s3, bucket, name, mode, models / name, lambda _line: None)
