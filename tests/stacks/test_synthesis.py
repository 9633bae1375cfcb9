"""Every deployment synthesises without a look into the account, and fits the rules of AWS.

`bench/synthesis.py` measures how long that takes.
"""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from cdk_nag import AwsSolutionsChecks

from local.cloud import signing
from stacks.__main__ import app
from tests.stacks.test_rules import lint, unexplained

KEY = "arn:aws:kms:us-east-1:000000000000:key/0b7a2c1e-0000-4000-8000-000000000000"
SIGNING = {"signing_key": KEY, "signing_certificates": str(signing.certificates())}
SETTINGS: dict[str, dict[str, Any]] = {
    "a key": {"customer_key": True},
    "a key that exists": {"customer_key": KEY},
    "a network": {"vpc": True},
    "both": {"customer_key": True, "vpc": True, **SIGNING},
    "a guardrail, a budget and webhooks": {
        "guardrail_id": "abc",
        "guardrail_version": "1",
        "monthly_budget_usd": 100,
        "webhook_url": "https://example.org/reeldrop",
        "webhook_secret": "webhook",
        "slack_secret": "slack",
    },
}
# cfn-lint takes long. These have every resource of the others.
LINTED = ("a key that exists", "both", "a guardrail, a budget and webhooks")
REGIONS = ("us-east-1", "eu-west-1", "ap-northeast-1")


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no credentials, and no network."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*_arguments: object) -> None:
        raise AssertionError("synthesis needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def synthesised(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Synthesise, and return what the assembly says about itself."""
    app(outdir=str(folder), code="embedded", **settings).synth()
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_fits_the_rules_and_asks_for_nothing(name: str, tmp_path: Path) -> None:
    settings = SETTINGS[name]
    manifest = synthesised(tmp_path, settings)
    assert "missing" not in manifest, "the CLI would have to look into the account"
    if name in LINTED:
        assert lint(tmp_path / "reeldrop.template.json", REGIONS) == ""
    checked = app(outdir=str(tmp_path / "checked"), code="embedded", **settings)
    report = AwsSolutionsChecks().validate_scope(checked)
    assert unexplained({violation.rule_name for violation in report.violations}) == []


def test_regions_differ_in_the_names_of_buckets_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So what holds in one region holds in the others."""
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", "000000000000")
    templates = set()
    for region in REGIONS:
        monkeypatch.setenv("CDK_DEFAULT_REGION", region)
        folder = tmp_path / region
        manifest = synthesised(folder, SETTINGS["both"])
        assert "missing" not in manifest
        text = (folder / "reeldrop.template.json").read_text()
        own = f"-000000000000-{region}"
        assert text.count(own) == 4
        templates.add(text.replace(own, "-here"))
    assert len(templates) == 1
