"""The studio: a page and an API for the drop folder, and who may sign in there.

One function serves the page, its questions and programs. API Gateway lets a question through only
with a token of the user pool (docs/decisions/0041-the-studio.md).
"""

import json
from dataclasses import replace

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks import grants
from stacks.config import Config
from stacks.stage_function import Program, StageFunction
from stacks.storage import Storage

# API Gateway waits for 30 s at most.
_TIMEOUT_SECONDS = 29
# A page asks every two or three seconds. What comes faster than this is refused.
_REQUESTS_PER_SECOND = 50
_BURST = 100
_ACCESS_LOG = {
    "at": "$context.requestTime",
    "from": "$context.identity.sourceIp",
    "request": "$context.httpMethod $context.path",
    "status": "$context.status",
    "who": "$context.authorizer.claims.sub",
    "error": "$context.authorizer.error",
}


class Studio(Construct):
    """The studio of a drop folder."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Config,
        storage: Storage,
        program: Program,
        memory_mb: int,
    ) -> None:
        """Create the studio.

        Args:
            scope: the stack.
            construct_id: the id of this construct in its scope.
            config: the choices of the deployment.
            storage: the buckets and the table.
            program: the code and the settings that it shares with the other functions.
            memory_mb: memory of the function, which reads pictures in a child process.
        """
        super().__init__(scope, construct_id)
        self._config = config
        self._api = gateway.HttpApi(
            self, "Api", api_name=f"{config.stack_name}-studio", create_default_stage=False
        )
        self._create_stage(program)
        self.url = f"{self._api.api_endpoint}/"
        self.users = self._create_users()
        self.client = self._create_client()
        self.page = StageFunction(
            scope,
            "StudioPage",
            program=replace(
                program,
                environment={
                    "STUDIO_CLIENT_ID": self.client.user_pool_client_id,
                    "STUDIO_SIGN_IN": self._sign_in(),
                    "STUDIO_ALLOWED_IPS": config.studio_allowed_ips,
                },
            ),
            handler="studio.api.handler.handler",
            timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS),
            memory_mb=memory_mb,
            statements=[
                *grants.show_table(storage.table),
                *grants.drop_for_people(storage.input),
                *grants.show_outputs(storage.output),
            ],
        )
        self._route()
        # The page uploads files to the bucket itself.
        storage.input.add_cors_rule(
            allowed_methods=[s3.HttpMethods.POST],
            allowed_origins=[self._api.api_endpoint],
            allowed_headers=["*"],
            max_age=3600,
        )

    def _route(self) -> None:
        """Let everybody load the page, and only those who are signed in do the rest."""
        page = integrations.HttpLambdaIntegration("Page", self.page.function)
        for path in ("/", "/{name}"):
            self._api.add_routes(path=path, methods=[gateway.HttpMethod.GET], integration=page)
        session = authorizers.HttpJwtAuthorizer(
            "Session",
            f"https://cognito-idp.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{self.users.user_pool_id}",
            jwt_audience=[self.client.user_pool_client_id],
        )
        for path, methods in {
            "/api/{question}": ["POST"],
            "/v1/{proxy+}": ["GET", "POST", "DELETE"],  # for programs
        }.items():
            self._api.add_routes(
                path=path,
                methods=[gateway.HttpMethod(method) for method in methods],
                integration=page,
                authorizer=session,
            )

    def _create_stage(self, program: Program) -> None:
        log = logs.LogGroup(
            self,
            "Requests",
            log_group_name=f"{self._config.stack_name}-studio-requests",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            encryption_key=program.key,
        )
        stage = gateway.HttpStage(
            self,
            "Stage",
            http_api=self._api,
            stage_name="$default",
            auto_deploy=True,
            throttle=gateway.ThrottleSettings(rate_limit=_REQUESTS_PER_SECOND, burst_limit=_BURST),
        )
        resource = stage.node.default_child
        assert isinstance(resource, gateway.CfnStage)
        resource.access_log_settings = gateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=log.log_group_arn, format=json.dumps(_ACCESS_LOG)
        )

    def _create_users(self) -> cognito.UserPool:
        """Create the user pool. Only an administrator adds people to it."""
        return cognito.UserPool(
            self,
            "Users",
            user_pool_name=f"{self._config.stack_name}-studio",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_digits=True,
                require_lowercase=True,
                require_symbols=True,
                require_uppercase=True,
            ),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            removal_policy=cdk.RemovalPolicy.RETAIN
            if self._config.keep_data
            else cdk.RemovalPolicy.DESTROY,
        )

    def _create_client(self) -> cognito.UserPoolClient:
        return self.users.add_client(
            "Client",
            user_pool_client_name="studio",
            generate_secret=False,
            # For programs: an administrator gets tokens with a password and rights of IAM.
            auth_flows=cognito.AuthFlow(admin_user_password=True),
            # Nothing but the code grant, with which a client without a secret has to use PKCE.
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID],
                callback_urls=[self.url],
                logout_urls=[self.url],
            ),
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            access_token_validity=cdk.Duration.hours(1),
            refresh_token_validity=cdk.Duration.days(30),
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO],
        )

    def _sign_in(self) -> str:
        """Where people sign in. The embedded cloud has that page beside the studio."""
        if self._config.code == "embedded":
            return ""
        # The names of these domains are shared by all accounts of a region.
        prefix = f"{self._config.stack_name}-{cdk.Aws.ACCOUNT_ID}"
        domain = self.users.add_domain(
            "Domain", cognito_domain=cognito.CognitoDomainOptions(domain_prefix=prefix)
        )
        return domain.base_url()
