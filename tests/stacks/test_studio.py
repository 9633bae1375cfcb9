"""The studio in the template: who may ask it, and what it may do."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from stacks.config import Config
from tests.stacks.test_template import resources

Template = dict[str, Any]


@pytest.fixture
def on_aws(synthesise: Callable[..., Template]) -> Template:
    return synthesise(studio=True)


def test_there_is_no_studio_unless_somebody_wants_one(synthesise: Callable[..., Template]) -> None:
    template = synthesise()
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not any(kind.startswith(("AWS::Cognito", "AWS::ApiGatewayV2")) for kind in kinds)
    assert "StudioUrl" not in template["Outputs"]


def test_every_question_needs_a_token_of_the_user_pool(on_aws: Template) -> None:
    routes = resources(on_aws, "AWS::ApiGatewayV2::Route")
    by_key = {route["RouteKey"]: route for route in routes.values()}
    for_everybody = {"GET /", "GET /{name}"}
    asked = [route for key, route in by_key.items() if key not in for_everybody]
    assert set(by_key) - for_everybody == {
        "POST /api/{question}",
        *(f"{method} /v1/{{proxy+}}" for method in ("GET", "POST", "DELETE")),
    }
    assert {route["AuthorizationType"] for route in asked} == {"JWT"}
    (authorizer,) = resources(on_aws, "AWS::ApiGatewayV2::Authorizer").values()
    (client,) = resources(on_aws, "AWS::Cognito::UserPoolClient")
    (pool,) = resources(on_aws, "AWS::Cognito::UserPool")
    token = authorizer["JwtConfiguration"]
    assert token["Audience"] == [{"Ref": client}]
    assert {"Ref": pool} in token["Issuer"]["Fn::Join"][1]
    for route in asked:
        assert route["AuthorizerId"]["Ref"] in resources(on_aws, "AWS::ApiGatewayV2::Authorizer")


def test_only_an_administrator_adds_people_and_only_the_code_grant_is_allowed(
    on_aws: Template,
) -> None:
    (pool,) = resources(on_aws, "AWS::Cognito::UserPool").values()
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert pool["Policies"]["PasswordPolicy"]["MinimumLength"] == 12
    (client,) = resources(on_aws, "AWS::Cognito::UserPoolClient").values()
    assert client["AllowedOAuthFlows"] == ["code"] and client["GenerateSecret"] is False
    assert client["AllowedOAuthScopes"] == ["openid"]
    # A password alone gets no token: the first flow needs rights of IAM, too.
    assert set(client["ExplicitAuthFlows"]) == {
        "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH",
    }  # fmt: skip
    (address,) = client["CallbackURLs"]
    assert address == on_aws["Outputs"]["StudioUrl"]["Value"] == client["LogoutURLs"][0]


def statements(template: Template) -> list[dict[str, Any]]:
    """What the role of the studio may do."""
    return [
        statement
        for name, policy in resources(template, "AWS::IAM::Policy").items()
        if name.startswith("StudioPage")
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def test_it_may_write_drops_and_nothing_else(on_aws: Template) -> None:
    writing = [one["Resource"] for one in statements(on_aws) if "s3:PutObject" in one["Action"]]
    assert len(writing) == 2
    for resource, folder in zip(writing, ("/jobs/*", "/approve/*"), strict=True):
        assert json.dumps(resource).count(folder) == 1
        assert "StorageInput" in json.dumps(resource)
    actions = {action for one in statements(on_aws) for action in one["Action"]}
    assert not any(action.startswith(("sagemaker", "sns", "sqs", "bedrock")) for action in actions)
    assert "dynamodb:PutItem" not in actions


def test_a_page_of_another_origin_cannot_upload(on_aws: Template) -> None:
    rules = [
        (name, bucket["CorsConfiguration"]["CorsRules"])
        for name, bucket in resources(on_aws, "AWS::S3::Bucket").items()
        if "CorsConfiguration" in bucket
    ]
    ((name, (rule,)),) = rules
    assert name.startswith("StorageInput") and rule["AllowedMethods"] == ["POST"]
    (origin,) = rule["AllowedOrigins"]
    (api,) = resources(on_aws, "AWS::ApiGatewayV2::Api")
    assert origin == {"Fn::GetAtt": [api, "ApiEndpoint"]}


def test_it_leaves_calls_of_lambda_for_the_page() -> None:
    plain, with_studio = Config(), Config(studio=True)
    assert sum(plain.concurrent_calls) - sum(with_studio.concurrent_calls) == 2
    with pytest.raises(ValidationError, match="the studio needs lambda_concurrency of 9"):
        Config(studio=True, lambda_concurrency=8)
    assert min(Config(studio=True, lambda_concurrency=9).concurrent_calls) == 2


@pytest.mark.parametrize("wrong", ["192.0.2.7/24", "here", "192.0.2.0/24,,x"])
def test_a_range_of_addresses_that_cannot_be_read_is_refused(wrong: str) -> None:
    Config(studio=True, studio_allowed_ips="192.0.2.0/24,2001:db8::/32")
    with pytest.raises(ValidationError, match="studio_allowed_ips"):
        Config(studio=True, studio_allowed_ips=wrong)
