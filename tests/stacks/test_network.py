"""A deployment with a network of its own has no way to the internet, and reaches what it calls."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import ROOT
from local.cloud import signing
from tests.stacks.conftest import Template
from tests.stacks.test_encryption import listed, policies
from tests.stacks.test_template import resources

# The names of endpoints, by the services that actions name.
ENDPOINTS = {
    "s3": "s3", "dynamodb": "dynamodb", "sqs": "sqs", "sns": "sns", "events": "events",
    "sagemaker": "sagemaker.api", "bedrock": "bedrock-runtime",
}  # fmt: skip
# These actions are made by Lambda and by the services themselves, and not by a function.
NOT_CALLED = {"logs", "ec2", "iam", "kms", "xray"}


@pytest.fixture(scope="module")
def private(synthesise: Callable[..., Template]) -> Template:
    """A deployment with a network of its own."""
    return synthesise(vpc=True)


def called(template: Template) -> set[str]:
    """The services that the functions may call."""
    roles = ("Submit", "Dispatch", "Finish", "Sweep")
    statements = [
        statement
        for role in roles
        for policy in policies(template, f"{role}Role")
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = [action for one in statements for action in listed(one["Action"])]
    return {action.partition(":")[0] for action in actions} - NOT_CALLED


def endpoints(template: Template) -> dict[str, dict[str, Any]]:
    """The endpoints of the network, by service."""
    found = {}
    for one in resources(template, "AWS::EC2::VPCEndpoint").values():
        name = one["ServiceName"]
        text = name if isinstance(name, str) else str(name["Fn::Join"][1][-1])
        found[text.removeprefix("com.amazonaws.").lstrip(".")] = one
    return found


def groups(template: Template) -> dict[str, str]:
    """The logical ids of the security groups, by their names in stacks/network.py."""
    found = resources(template, "AWS::EC2::SecurityGroup")
    names = ("Functions", "Processing", "Endpoints")
    assert len(found) == len(names)
    return {name: one for name in names for one in found if one.startswith(f"Network{name}")}


def test_without_the_setting_there_is_no_network(template: Template) -> None:
    assert "AWS::EC2::" not in json.dumps(template)
    assert '"ec2:' not in json.dumps(template)


def test_there_is_no_way_to_the_internet(private: Template) -> None:
    kinds = {resource["Type"] for resource in private["Resources"].values()}
    assert not [kind for kind in kinds if "Gateway" in kind]
    assert not resources(private, "AWS::EC2::Route")
    subnets = resources(private, "AWS::EC2::Subnet").values()
    assert [subnet["MapPublicIpOnLaunch"] for subnet in subnets] == [False, False]


def test_there_is_an_endpoint_for_each_service_that_a_function_calls_and_no_other(
    private: Template, synthesise: Callable[..., Template]
) -> None:
    assert set(endpoints(private)) == {ENDPOINTS[service] for service in called(private)}
    guard = {"guardrail_id": "abc", "guardrail_version": "1"}
    guarded = synthesise(vpc=True, enhancer_model_id="", **guard)
    assert set(endpoints(guarded)) == set(endpoints(private)), "a guardrail is in Bedrock, too"
    without = synthesise(vpc=True, enhancer_model_id="")
    assert set(endpoints(without)) == {ENDPOINTS[service] for service in called(without)}
    assert set(endpoints(private)) - set(endpoints(without)) == {"bedrock-runtime"}
    key = {"signing_key": signing.KEY_ARN, "signing_certificates": str(signing.certificates())}
    signed = synthesise(vpc=True, **key)
    assert set(endpoints(signed)) - set(endpoints(private)) == {"kms"}


def test_only_calls_of_this_account_pass_the_endpoints(private: Template) -> None:
    account = {"Ref": "AWS::AccountId"}
    for name, one in endpoints(private).items():
        (statement,) = one["PolicyDocument"]["Statement"]
        same = statement["Condition"]["StringEquals"]
        kinds = {"aws:PrincipalAccount"}
        kinds |= {"aws:ResourceAccount"} if one["VpcEndpointType"] == "Gateway" else set()
        assert same == dict.fromkeys(kinds, account), name


def test_functions_run_in_the_network(private: Template) -> None:
    subnets = [{"Ref": name} for name in resources(private, "AWS::EC2::Subnet")]
    group = {"Fn::GetAtt": [groups(private)["Functions"], "GroupId"]}
    functions = resources(private, "AWS::Lambda::Function").values()
    assert len(functions) == 4
    for function in functions:
        assert function["VpcConfig"] == {"SubnetIds": subnets, "SecurityGroupIds": [group]}
        settings = function["Environment"]["Variables"]
        assert settings["REELDROP_SUBNET_IDS"]["Fn::Join"] == [
            "", [subnets[0], ",", subnets[1]]
        ]  # fmt: skip
        processing = {"Fn::GetAtt": [groups(private)["Processing"], "GroupId"]}
        assert settings["REELDROP_SECURITY_GROUP_ID"] == processing


def test_only_functions_reach_the_endpoints_and_nobody_reaches_anything_else(
    private: Template,
) -> None:
    named = groups(private)
    (ingress,) = resources(private, "AWS::EC2::SecurityGroupIngress").values()
    assert ingress["GroupId"] == {"Fn::GetAtt": [named["Endpoints"], "GroupId"]}
    assert ingress["SourceSecurityGroupId"] == {"Fn::GetAtt": [named["Functions"], "GroupId"]}
    assert (ingress["FromPort"], ingress["ToPort"]) == (443, 443)
    found = resources(private, "AWS::EC2::SecurityGroup")
    assert not [name for name, one in found.items() if "SecurityGroupIngress" in one]
    for name in ("Functions", "Processing"):
        (egress,) = found[named[name]]["SecurityGroupEgress"]
        assert (egress["FromPort"], egress["ToPort"], egress["IpProtocol"]) == (443, 443, "tcp")
    for one in endpoints(private).values():
        if one["VpcEndpointType"] == "Interface":
            own = {"Fn::GetAtt": [named["Endpoints"], "GroupId"]}
            assert one["SecurityGroupIds"] == [own] and one["PrivateDnsEnabled"]


def test_the_traffic_is_logged_for_three_months(private: Template) -> None:
    (log,) = resources(private, "AWS::EC2::FlowLog").values()
    assert log["TrafficType"] == "ALL"
    group = resources(private, "AWS::Logs::LogGroup")[log["LogGroupName"]["Ref"]]
    assert group["RetentionInDays"] == 90
    (role,) = (
        one for name, one in resources(private, "AWS::IAM::Role").items() if "Traffic" in name
    )
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert trust["Condition"] == {"StringEquals": account}


def network_statements(template: Template, role: str) -> Iterator[dict[str, Any]]:
    for policy in policies(template, role):
        for statement in policy["PolicyDocument"]["Statement"]:
            if any(action.startswith("ec2:") for action in listed(statement["Action"])):
                yield statement


@pytest.mark.parametrize("function", ["Submit", "Dispatch", "Finish", "Sweep"])
def test_lambda_may_connect_a_function_and_the_function_itself_may_not(
    private: Template, function: str
) -> None:
    allowed, denied = network_statements(private, f"{function}Role")
    assert (allowed["Effect"], denied["Effect"]) == ("Allow", "Deny")
    of_network = [one for one in allowed["Action"] if one.startswith("ec2:")]
    assert of_network == denied["Action"]
    assert "lambda:SourceFunctionArn" in denied["Condition"]["ArnLike"]


def test_sagemaker_may_connect_jobs_that_render_and_no_imports(private: Template) -> None:
    (allowed,) = network_statements(private, "WorkerRole")
    assert "ec2:CreateNetworkInterfacePermission" in allowed["Action"]
    assert not list(network_statements(private, "WorkerImportRole"))


def test_the_page_about_costs_counts_the_endpoints(private: Template) -> None:
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    count = sum(one["VpcEndpointType"] == "Interface" for one in endpoints(private).values())
    zones = len(resources(private, "AWS::EC2::Subnet"))
    a_month = f"{count * zones * 0.01 * 730:.2f}"
    assert f"| {count} in {zones} zones, each 0.01 an hour | {a_month} |" in page
