"""The synthesised template: its parts are connected, and no role may do more than it needs."""

import json
import pkgutil
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import region_info
from aws_cdk.assertions import Template
from moto.events.models import EventPattern
from moto.events.utils import EventMessageType
from pydantic import ValidationError

from functions import s3_keys
from functions.adapters.signing import CERTIFICATES
from functions.log import Event
from functions.planning.estimate import USD_PER_HOUR
from functions.settings import Settings
from local import ROOT
from local.cloud import signing
from stacks.__main__ import app
from stacks.code import functions_code
from stacks.config import Config
from stacks.encryption import create_key
from stacks.monitoring import watch_costs
from stacks.notifications import create_alarm_topic, create_job_topic
from stacks.place import Place
from stacks.storage import Storage
from stacks.worker import IMAGE, NoImage, check_image


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type, by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def rules(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the event patterns, with the logical id of each bucket instead of its name."""
    text = json.dumps(
        [r["EventPattern"] for r in resources(template, "AWS::Events::Rule").values()
         if "EventPattern" in r]
    )  # fmt: skip
    plain: list[dict[str, Any]] = json.loads(text, object_hook=lambda o: o.get("Ref", o))
    return plain


def matching(template: dict[str, Any], event: EventMessageType) -> int:
    """Return how many rules match an event."""
    return sum(
        bool(EventPattern(None, pattern).matches_event(event)) for pattern in rules(template)
    )


def created(bucket: str, key: str) -> EventMessageType:
    """Return the event that S3 sends when an object was created."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key}, "reason": "PutObject"}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def bucket(template: dict[str, Any], name: str) -> str:
    """Return the logical id of a bucket."""
    (found,) = [r for r in resources(template, "AWS::S3::Bucket") if f"Storage{name}" in r]
    return found


def test_a_drop_is_received_whatever_its_suffix(template: dict[str, Any]) -> None:
    source = bucket(template, "Input")
    for key in ("jobs/bee.yaml", "jobs/a/b.YAML", "jobs/bee.png", "jobs/bee.docx"):
        assert matching(template, created(source, key)) == 1, key
    assert matching(template, created(source, "bee.yaml")) == 1, "it gets an answer"
    assert matching(template, created("another-bucket", "jobs/bee.yaml")) == 0


def test_only_results_and_progress_of_the_worker_are_received(template: dict[str, Any]) -> None:
    work = bucket(template, "Work")
    for name in ("result.json", "progress-40.json"):
        assert matching(template, created(work, s3_keys.task_file("a-1", "bee-01", name))) == 1
    for key in (
        s3_keys.task_file("a-1", "bee-01", "video.mp4"),
        s3_keys.attempt_manifest("a-1"),
        s3_keys.kept_reference("bee-1", ".png"),
        s3_keys.model_release("demo", "one") + "vae/config.json",
    ):
        assert matching(template, created(work, key)) == 0, key


def test_nothing_that_we_write_for_people_is_heard(template: dict[str, Any]) -> None:
    output = bucket(template, "Output")
    written = [
        s3_keys.status("bee"),
        s3_keys.rejected("bee"),
        s3_keys.review("bee"),
        s3_keys.contact_sheet("bee"),
        *s3_keys.published("bee", 1, 1),
    ]
    assert not any(matching(template, created(output, key)) for key in written)
    notified = resources(template, "AWS::S3::Bucket")[output]
    assert "NotificationConfiguration" not in notified


def test_a_deployment_has_no_right_to_processing_jobs_of_another_one(
    template: dict[str, Any],
) -> None:
    """Not even if the name of the other one begins with its own name."""
    text = json.dumps(resources(template, "AWS::IAM::Policy"))
    named = set(re.findall(r":processing-job/([^\"]+)", text))
    assert named == {"reeldrop--*"}
    for name in ("reeldrop--dev", "reeldrop-", "-reeldrop", "Reeldrop", "a" * 21):
        with pytest.raises(ValidationError):
            Config(stack_name=name)
    assert Config(stack_name="reeldrop-dev").job_prefix == "reeldrop-dev--"


def test_the_metrics_of_a_deployment_are_its_own(template: dict[str, Any]) -> None:
    functions = resources(template, "AWS::Lambda::Function").values()
    services = {f["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] for f in functions}
    watched = {
        dimension["Value"]
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "reeldrop"
        for dimension in alarm["Dimensions"]
    }
    assert services == watched == {"reeldrop"}


def test_every_address_is_subscribed_and_a_wrong_one_is_refused() -> None:
    stack = cdk.Stack()
    create_job_topic(stack, "a@example.org,b@example.org")
    found = Template.from_stack(stack).find_resources("AWS::SNS::Subscription").values()
    assert [one["Properties"]["Endpoint"] for one in found] == ["a@example.org", "b@example.org"]
    for wrong in ("not an address", "a@example.org; b@example.org", "a@example.org,"):
        with pytest.raises(ValidationError):
            Config(notify_email=wrong)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"instance_types": "ml.g6e.xlarge,ml.g6e.banana"}, "ml.g6e.banana .* no such type"),
        ({"instance_types": "ml.g4dn.xlarge"}, "no bfloat16"),
        ({"instance_types": "ml.g4dn.metal", "default_model": "demo"}, "no such type"),
        ({"instance_types": "ml.p5.48xlarge"}, "no such type"),
        ({"instance_types": "ml.h1.xlarge"}, "should match pattern"),
        ({"finishing_instance_type": "ml.g6e.xlarge"}, "should match pattern"),
    ],
)
def test_an_instance_type_that_cannot_run_the_model_is_refused(
    settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        Config(**settings)


def test_the_smallest_types_run_the_models_that_fit() -> None:
    default = Config().default_model
    for types, model in (
        ("ml.g4dn.xlarge", "cogvideox-2b"),
        ("ml.g5.xlarge,ml.g6.xlarge,ml.p5.4xlarge,ml.g7.2xlarge", default),
        ("ml.g5.4xlarge", "cogvideox1.5-5b"),
    ):
        config = Config(instance_types=types, default_model=model)
        assert (config.instance_types, config.default_model) == (types, model)


def test_videos_are_archived_and_deleted_if_the_deployment_wants_that() -> None:
    stack = cdk.Stack()
    Storage(stack, "S", config=Config(archive_videos_after_days=30, delete_videos_after_days=400))
    rules = [
        rule
        for one in Template.from_stack(stack).find_resources("AWS::S3::Bucket").values()
        for rule in one["Properties"]["LifecycleConfiguration"]["Rules"]
        if rule.get("Prefix") == s3_keys.VIDEOS_PREFIX
    ]
    assert [rule.get("ExpirationInDays") for rule in rules] == [None, 400]
    assert rules[0]["Transitions"] == [{"StorageClass": "GLACIER_IR", "TransitionInDays": 30}]
    with pytest.raises(ValidationError, match="must be more than"):
        Config(archive_videos_after_days=30, delete_videos_after_days=30)


def test_every_queue_has_a_dead_letter_queue_an_alarm_and_a_visibility_that_outlasts_its_function(
    template: dict[str, Any],
) -> None:
    queues = resources(template, "AWS::SQS::Queue")
    redriving = {name: q for name, q in queues.items() if "RedrivePolicy" in q}
    dead = {q["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] for q in redriving.values()}
    assert len(redriving) == 3 and dead == set(queues) - set(redriving)
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    visible = "ApproximateNumberOfMessagesVisible"
    queues_watched = [a for a in alarms if a.get("MetricName") == visible]
    watched = {a["Dimensions"][0]["Value"]["Fn::GetAtt"][0] for a in queues_watched}
    assert watched == dead and all(a["AlarmActions"] for a in alarms)
    functions = resources(template, "AWS::Lambda::Function")
    mappings = resources(template, "AWS::Lambda::EventSourceMapping").values()
    assert len(mappings) == 3
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        queue = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]
        function = functions[mapping["FunctionName"]["Ref"]]
        assert queue["VisibilityTimeout"] > function["Timeout"]


@pytest.mark.parametrize("quota", [7, 8, 10, 12, 20, 50, 100, 1000])
def test_the_functions_fit_into_the_account_s_quota_of_lambda(quota: int) -> None:
    """A new account may run 10 calls at the same time. A queue has at least 2 of them."""
    calls = Config(lambda_concurrency=quota).concurrent_calls
    assert min(calls) >= 2
    assert sum(calls) + 1 <= quota, "one call is left for the sweep"
    if quota >= 100:
        assert calls == (50, 2, 20)
    with pytest.raises(ValidationError):
        Config(lambda_concurrency=6)


def test_nothing_is_reserved_and_no_queue_calls_more_than_it_may(template: dict[str, Any]) -> None:
    functions = resources(template, "AWS::Lambda::Function").values()
    assert not [f for f in functions if "ReservedConcurrentExecutions" in f]
    mappings = resources(template, "AWS::Lambda::EventSourceMapping").values()
    calls = [mapping["ScalingConfig"]["MaximumConcurrency"] for mapping in mappings]
    assert sorted(calls) == sorted(Config(lambda_concurrency=100).concurrent_calls)


def test_an_alarm_fires_if_a_function_is_throttled_for_a_while(template: dict[str, Any]) -> None:
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    throttles = [a for a in alarms if a["MetricName"] == "Throttles"]
    watched = {a["Dimensions"][0]["Value"]["Ref"] for a in throttles}
    # A person at the studio sees that it does not answer, and nothing is lost.
    functions = set(resources(template, "AWS::Lambda::Function"))
    assert watched == {name for name in functions if not name.startswith("Studio")}
    for alarm in throttles:
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (300, 3, 1)
        assert alarm["AlarmActions"]


def test_every_rule_that_feeds_a_queue_has_a_dead_letter_queue_and_may_write_to_both(
    template: dict[str, Any],
) -> None:
    policies = json.dumps(resources(template, "AWS::SQS::QueuePolicy"))
    for name, rule in resources(template, "AWS::Events::Rule").items():
        if "EventPattern" not in rule:
            continue
        (target,) = rule["Targets"]
        assert target["DeadLetterConfig"]["Arn"]
        assert policies.count(f'"Fn::GetAtt": ["{name}", "Arn"]') == 2


def test_records_do_not_expire(template: dict[str, Any]) -> None:
    """If a record expired, a late event could make the same video a second time."""
    (table,) = resources(template, "AWS::DynamoDB::Table").values()
    assert "TimeToLiveSpecification" not in table


def test_only_cloudwatch_may_publish_alarms(template: dict[str, Any]) -> None:
    (topic,) = [t for t in resources(template, "AWS::SNS::Topic") if t.startswith("Alarms")]
    statements = [
        statement
        for policy in resources(template, "AWS::SNS::TopicPolicy").values()
        if policy["Topics"] == [{"Ref": topic}]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert [s["Principal"] for s in statements] == [{"Service": "cloudwatch.amazonaws.com"}]


def test_the_worker_may_write_its_logs(template: dict[str, Any]) -> None:
    text = json.dumps(resources(template, "AWS::IAM::Policy"))
    assert ":log-group:/aws/sagemaker/*" in text


def test_buckets_are_private_encrypted_and_require_tls(template: dict[str, Any]) -> None:
    buckets = resources(template, "AWS::S3::Bucket")
    assert len(buckets) == 4
    for name, properties in buckets.items():
        assert all(properties["PublicAccessBlockConfiguration"].values()), name
        assert properties["BucketEncryption"], name
    policies = resources(template, "AWS::S3::BucketPolicy").values()
    denied = [
        p["Bucket"]["Ref"]
        for p in policies
        if any(s["Effect"] == "Deny" for s in p["PolicyDocument"]["Statement"])
    ]
    assert set(denied) == set(buckets)
    versioned = {name for name, p in buckets.items() if "VersioningConfiguration" in p}
    assert versioned == {bucket(template, "Input"), bucket(template, "Output")}


def test_all_buckets_log_their_accesses_into_the_fourth(template: dict[str, Any]) -> None:
    logs = bucket(template, "Logs")
    for name, properties in resources(template, "AWS::S3::Bucket").items():
        logged = properties.get("LoggingConfiguration", {}).get("DestinationBucketName")
        assert logged == (None if name == logs else {"Ref": logs}), name


def test_no_role_has_a_wildcard_action_or_a_wildcard_resource(template: dict[str, Any]) -> None:
    for name, policy in resources(template, "AWS::IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            assert not any(action.endswith("*") for action in actions), name
            if statement["Resource"] == "*":
                known = ("ecr:", "cloudwatch:", "xray:")  # they know no resource
                assert all(a.startswith(known) for a in actions), name


def test_every_handler_exists(template: dict[str, Any]) -> None:
    for function in resources(template, "AWS::Lambda::Function").values():
        assert callable(pkgutil.resolve_name(function["Handler"])), function["Handler"]


def test_every_function_is_traced_and_may_send_its_traces(template: dict[str, Any]) -> None:
    functions = resources(template, "AWS::Lambda::Function").values()
    assert [f.get("TracingConfig") for f in functions] == [{"Mode": "Active"}] * 5
    tracing = [
        statement["Action"]
        for policy in resources(template, "AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Resource"] == "*" and "xray" in json.dumps(statement["Action"])
    ]
    assert tracing == [["xray:PutTelemetryRecords", "xray:PutTraceSegments"]] * 5


def test_functions_get_every_setting(template: dict[str, Any]) -> None:
    functions = resources(template, "AWS::Lambda::Function").values()
    assert len(functions) == 5
    for function in functions:
        variables = {
            name: value if isinstance(value, str) else "text"
            for name, value in function["Environment"]["Variables"].items()
        }
        Settings.from_environment(variables)


def test_the_image_is_the_one_that_the_sagemaker_sdk_names() -> None:
    """The SDK runs in another process, because it takes seconds to import and prints messages."""
    program = (
        "from sagemaker.core import image_uris as i;"
        "print(i.retrieve('huggingface','us-east-1',version='4.56.2',"
        "base_framework_version='pytorch2.8.0',instance_type='ml.g6e.xlarge',"
        "image_scope='training'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(f".dkr.ecr.us-east-1.amazonaws.com/{IMAGE}")


@pytest.mark.parametrize(
    ("region", "profile"),
    [
        ("us-east-1", "us"),
        ("us-west-2", "us"),
        ("eu-central-1", "eu"),
        ("ap-northeast-1", "jp"),
        ("ap-southeast-2", "global"),
        ("sa-east-1", "global"),
    ],
)
def test_prompts_are_enhanced_by_the_profile_of_the_region(
    template: dict[str, Any], region: str, profile: str
) -> None:
    """The id in the settings and in the permission come from the same mapping."""
    (mapping,) = (
        name for name, rows in template["Mappings"].items() if "profile" in rows.get(region, {})
    )
    assert template["Mappings"][mapping][region]["profile"] == profile
    found = {"Fn::FindInMap": [mapping, {"Ref": "AWS::Region"}, "profile"]}
    wanted = {"Fn::Join": ["", [found, ".amazon.nova-2-lite-v1:0"]]}
    functions = resources(template, "AWS::Lambda::Function").values()
    settings = [value for f in functions for value in f["Environment"]["Variables"].values()]
    assert wanted in settings
    policies = json.dumps(list(resources(template, "AWS::IAM::Policy").values()))
    assert json.dumps(found) in policies


def test_functions_that_judge_may_apply_the_guardrail_and_no_other_one(
    template: dict[str, Any],
) -> None:
    found = {
        name.partition("Role")[0]: json.dumps(statement["Resource"])
        for name, policy in resources(template, "AWS::IAM::Policy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if "bedrock:ApplyGuardrail" in statement["Action"]
    }
    assert set(found) == {"Submit", "Finish", "Sweep"}
    for resource in found.values():
        assert ':guardrail/embedded"' in resource and "*" not in resource
        assert '"Ref": "AWS::AccountId"' in resource


def test_only_finish_and_sweep_may_sign_and_with_one_key(template: dict[str, Any]) -> None:
    found = [
        (name, statement["Resource"])
        for name, policy in resources(template, "AWS::IAM::Policy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if "kms:Sign" in statement["Action"]
    ]
    assert sorted(name[:5] for name, _ in found) == ["Finis", "Sweep"]
    assert {resource for _, resource in found} == {signing.KEY_ARN}
    disks = {
        name[:5]: function["Properties"].get("EphemeralStorage", {}).get("Size")
        for name, function in template["Resources"].items()
        if function["Type"] == "AWS::Lambda::Function" and "Function" in name
    }
    assert disks["Finis"] == disks["Sweep"] == 2560 and disks["Submi"] is None


def test_the_certificates_are_in_the_zip_of_the_functions() -> None:
    certificates = signing.certificates()
    with functions_code("embedded", certificates=str(certificates)) as path:
        found = zipfile.ZipFile(path).read("functions/signing_certificates.pem")
    assert found == certificates.read_bytes()
    assert CERTIFICATES == ROOT / "functions" / "signing_certificates.pem"


def test_a_signing_key_has_certificates(tmp_path: Path) -> None:
    given = {"signing_key": signing.KEY_ARN, "signing_certificates": str(signing.certificates())}
    assert Config.model_validate(given).signing_key == signing.KEY_ARN
    (tmp_path / "empty.pem").write_text("")
    for wrong, said in (
        ({"signing_key": signing.KEY_ARN}, "set both or neither"),
        ({"signing_certificates": given["signing_certificates"]}, "set both or neither"),
        ({**given, "signing_certificates": "none.pem"}, "no file with certificates"),
        ({**given, "signing_certificates": str(tmp_path / "empty.pem")}, "no file with cert"),
        ({**given, "signing_key": "alias/mine"}, "pattern"),
    ):
        with pytest.raises(ValidationError, match=said):
            Config.model_validate(wrong)


def test_a_guardrail_has_an_id_and_a_version() -> None:
    assert Config(guardrail_id="abc123", guardrail_version="DRAFT").guardrail_id == "abc123"
    for wrong in (
        {"guardrail_id": "abc123"},
        {"guardrail_version": "1"},
        {"guardrail_id": "arn:aws:bedrock:x", "guardrail_version": "1"},
        {"guardrail_id": "abc123", "guardrail_version": "0"},
    ):
        with pytest.raises(ValidationError):
            Config.model_validate(wrong)
    with pytest.raises(ValidationError, match="set both or neither"):
        Config(guardrail_id="abc123")


def test_sagemaker_may_use_its_roles_for_this_account_only(template: dict[str, Any]) -> None:
    roles = resources(template, "AWS::IAM::Role").values()
    trusts = [s for role in roles for s in role["AssumeRolePolicyDocument"]["Statement"]]
    of_sagemaker = [t for t in trusts if "sagemaker" in json.dumps(t["Principal"])]
    account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert [trust.get("Condition") for trust in of_sagemaker] == [account, account]


def image_pulled(found: dict[str, Any]) -> list[str]:
    """The repositories that the roles of processing jobs may pull from."""
    return [
        json.dumps(statement["Resource"])
        for policy in resources(found, "AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
    ]


def test_processing_jobs_may_pull_their_image_and_no_other(
    template: dict[str, Any], tmp_path: Path
) -> None:
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/my/image:1"
    app(outdir=str(tmp_path), code="embedded", image_uri=uri).synth()
    other = json.loads((tmp_path / "reeldrop.template.json").read_text())
    name = IMAGE.partition(":")[0]
    assert [f'repository/{name}"' in pull for pull in image_pulled(template)] == [True, True]
    name = "eu-west-1:123456789012:repository/my/image"
    assert [f'{name}"' in pull for pull in image_pulled(other)] == [True, True]


def test_a_region_without_a_known_image_is_refused_unless_one_is_named() -> None:
    with pytest.raises(NoImage, match=r"region il-central-1\. Set image_uri"):
        check_image(Config(), "il-central-1")
    check_image(Config(), "eu-central-1")
    check_image(Config(), cdk.Aws.REGION)
    uri = "123456789012.dkr.ecr.il-central-1.amazonaws.com/my/image:1"
    check_image(Config(image_uri=uri), "il-central-1")


def test_an_image_that_sagemaker_cannot_pull_is_refused() -> None:
    for uri in ("python:3.12", "docker.io/me/image", "public.ecr.aws/me/image:1"):
        with pytest.raises(ValidationError):
            Config(image_uri=uri)


@pytest.mark.parametrize("keep_data", [True, False])
def test_buckets_are_emptied_only_if_they_are_to_be_removed(keep_data: bool) -> None:
    stack = cdk.Stack(cdk.App(), "T")
    Storage(stack, "S", config=Config(keep_data=keep_data))
    found = dict(Template.from_stack(stack).to_json())
    emptied = resources(found, "Custom::S3AutoDeleteObjects")
    buckets = resources(found, "AWS::S3::Bucket")
    assert len(emptied) == (0 if keep_data else len(buckets))


def test_a_stack_that_is_deployed_again_gives_its_data_the_same_names() -> None:
    """CloudFormation imports what is there if its name is in the template, and it is retained."""
    stack = cdk.Stack(cdk.App(), "T")
    place = Place("123456789012", "ap-southeast-1")
    Storage(stack, "S", config=Config(stack_name="a" * 20), place=place)
    found = Template.from_stack(stack).to_json()["Resources"].values()
    named = {
        one["Properties"].get("BucketName") or one["Properties"]["TableName"]: one["DeletionPolicy"]
        for one in found
        if one["Type"] in {"AWS::S3::Bucket", "AWS::DynamoDB::Table"}
    }
    prefix, suffix = "a" * 20, "123456789012-ap-southeast-1"
    wanted = [f"{prefix}-{name}-{suffix}" for name in ("input", "output", "work", "logs")]
    assert named == dict.fromkeys([*wanted, f"{prefix}-records"], "Retain")
    assert all(len(name) <= 63 for name in named)


def test_nothing_else_has_a_fixed_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deployments would share it, and a deployment could not create it a second time."""
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", "123456789012")
    monkeypatch.setenv("CDK_DEFAULT_REGION", "us-west-2")
    everything = {"customer_key": True, "vpc": True, "monthly_budget_usd": 10}
    app(outdir=str(tmp_path), code="embedded", **everything).synth()
    found = json.loads((tmp_path / "reeldrop.template.json").read_text())["Resources"]
    # An inline policy belongs to its role. The others are no names of resources.
    free = {"PolicyName", "MetricName", "DisplayName"}
    named = {
        resource["Type"]
        for resource in found.values()
        for name, value in resource["Properties"].items()
        if name.endswith("Name") and name not in free and isinstance(value, str)
    }
    # CloudFormation wants a name of a bus. The bus is removed with the stack, so the name is free.
    assert named == {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::Events::EventBus"}


def test_operations_names_the_regions_that_have_an_image() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("\n## Regions\n")[2].partition("\n## ")[0]
    known = {
        region.name
        for region in region_info.RegionInfo.regions
        if region_info.Fact.find(region.name, region_info.FactName.DLC_REPOSITORY_ACCOUNT)
    }
    listed = section.partition("these regions:")[2].partition("In any other")[0]
    assert set(re.findall(r"`([a-z0-9-]+)`", listed)) == known
    packages = Path(sysconfig.get_paths()["purelib"])
    sdk = packages / "sagemaker" / "core" / "image_uri_config" / "huggingface.json"
    versions = json.loads(sdk.read_text())["training"]["versions"]
    registries = versions["4.56.2"]["pytorch2.8.0"]["registries"]
    others = {region: registries[region] for region in registries.keys() - known}
    secret = {region for region in others if region.startswith("us-iso")}
    table = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (\d{12}) \|$", section, re.MULTILINE))
    assert table == {region: others[region] for region in others.keys() - secret}


def test_operations_says_what_to_do_for_each_alarm(template: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    alarms = [name[:-8] for name in resources(template, "AWS::CloudWatch::Alarm")]
    explained = re.findall(r"\*\*([A-Z][A-Za-z]+)\*\*", page)
    assert [name for name in alarms if not name.endswith(tuple(explained))] == []
    assert alarms


def test_the_dashboard_shows_every_counted_event_and_every_queue(template: dict[str, Any]) -> None:
    (dashboard,) = resources(template, "AWS::CloudWatch::Dashboard").values()
    body = json.dumps(dashboard["DashboardBody"])
    assert [event for event in Event if event.counted and event.value not in body] == []
    queues = resources(template, "AWS::SQS::Queue")
    assert [name for name in queues if name not in body] == []
    assert [name for name in resources(template, "AWS::Lambda::Function") if name not in body] == []


def test_alarms_go_to_the_address_for_jobs_unless_they_have_their_own() -> None:
    assert Config(notify_email="me@example.org").alarm_addresses == "me@example.org"
    own = Config(notify_email="me@example.org", alarm_email="ops@example.org")
    assert own.alarm_addresses == "ops@example.org"


def test_the_page_about_costs_counts_the_alarms(template: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    count = len(resources(template, "AWS::CloudWatch::Alarm"))
    assert f"| alarms | {count} at 0.10 | {count / 10:.2f} |" in page


@pytest.mark.parametrize("instance_type", ["ml.g6e.xlarge", "ml.p5.4xlarge"])
def test_a_day_of_a_folder_costs_less_than_a_hundred_dollars_unless_somebody_chose_that(
    instance_type: str,
) -> None:
    """The page about costs has the figures."""
    config, hour = Config(), USD_PER_HOUR[instance_type]
    folder = config.max_gpu_minutes_per_folder_day / 60 * hour
    assert 0 < folder < 100 and config.max_tasks_per_folder_day > 0
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8").split("that a day can cost")[-1]
    text = " ".join(page.split())
    for figure in (folder, 24 * hour * config.max_processing_jobs):
        assert re.search(rf"\b{figure:.0f}( dollars)? on `{re.escape(instance_type)}`", text)
    assert f"`max_gpu_minutes_per_folder_day`, {config.max_gpu_minutes_per_folder_day} " in text
    assert f"`max_tasks_per_folder_day`, {config.max_tasks_per_folder_day}:" in text


def test_a_budget_notifies_the_topic_of_the_alarms_and_may_do_so() -> None:
    stack = cdk.Stack(cdk.App(), "T")
    watch_costs(stack, 250, create_alarm_topic(stack, "ops@example.org", None))
    found = dict(Template.from_stack(stack).to_json())
    ((name, budget),) = resources(found, "AWS::Budgets::Budget").items()
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 250, "Unit": "USD"}
    (topic,) = resources(found, "AWS::SNS::Topic")
    notified = [
        (n["Notification"]["NotificationType"], n["Notification"]["Threshold"], s["Address"])
        for n in budget["NotificationsWithSubscribers"]
        for s in n["Subscribers"]
    ]
    to = {"Ref": topic}
    assert notified == [("ACTUAL", 80, to), ("ACTUAL", 100, to), ("FORECASTED", 100, to)]
    ((policy, rules_of_topic),) = resources(found, "AWS::SNS::TopicPolicy").items()
    (publishing,) = (
        statement
        for statement in rules_of_topic["PolicyDocument"]["Statement"]
        if statement["Principal"] == {"Service": "budgets.amazonaws.com"}
    )
    assert publishing["Action"] == "sns:Publish" and publishing["Resource"] == to
    account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert publishing["Condition"] == account
    assert policy in found["Resources"][name]["DependsOn"], "AWS tries it while it creates it"


@pytest.mark.parametrize("budget", [0, 250])
def test_a_budget_may_use_the_key_that_encrypts_the_topic(budget: int) -> None:
    stack = cdk.Stack(cdk.App(), "T")
    create_key(stack, Config(customer_key=True, monthly_budget_usd=budget))
    (key,) = resources(dict(Template.from_stack(stack).to_json()), "AWS::KMS::Key").values()
    services = [
        statement["Principal"].get("Service") for statement in key["KeyPolicy"]["Statement"]
    ]
    assert ("budgets.amazonaws.com" in services) == bool(budget)


def test_there_is_no_budget_unless_somebody_sets_one(template: dict[str, Any]) -> None:
    assert not resources(template, "AWS::Budgets::Budget")
    assert "**Budget**" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
