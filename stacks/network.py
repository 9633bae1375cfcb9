"""The private network of a deployment that wants one, and what each role may do in it.

It has no way to the internet, but an endpoint for each service that the functions call.
"""

from aws_cdk import ArnFormat, Aws, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.config import Config
from stacks.grants import Statements

_HTTPS = ec2.Port.tcp(443)
_INTERFACES = ec2.InterfaceVpcEndpointAwsService
_GATEWAYS = ec2.GatewayVpcEndpointAwsService


class Network(Construct):
    """Private subnets in two zones, with endpoints and a log of what passes."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey | None,
        asks_bedrock: bool,
        signs: bool,
    ) -> None:
        """Create the network.

        Args:
            scope: the parent construct.
            construct_id: the id of this construct in its scope.
            key: encrypts the log; None: CloudWatch does with its own key.
            asks_bedrock: whether the functions call a language model or a guardrail.
            signs: whether a key of KMS signs videos.
        """
        super().__init__(scope, construct_id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.0.0.0/22"),
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Private", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24
                )
            ],
        )
        self.functions = self._group("Functions", "The functions of reeldrop")
        self.processing = self._group("Processing", "The processing jobs of reeldrop")
        self._log_traffic(key)
        for name, service in (("S3", _GATEWAYS.S3), ("DynamoDb", _GATEWAYS.DYNAMODB)):
            gateway = self.vpc.add_gateway_endpoint(name, service=service)
            # Nothing can be sent to a bucket or a table of somebody else.
            gateway.add_to_policy(_of_this_account("aws:PrincipalAccount", "aws:ResourceAccount"))
        services = {
            "Sqs": _INTERFACES.SQS,
            "Sns": _INTERFACES.SNS,
            "Events": _INTERFACES.EVENTBRIDGE,
            "SageMaker": _INTERFACES.SAGEMAKER_API,
        }
        if asks_bedrock:
            services["Bedrock"] = _INTERFACES.BEDROCK_RUNTIME
        if signs:
            services["Kms"] = _INTERFACES.KMS
        self._create_interfaces(services)

    @property
    def subnet_ids(self) -> list[str]:
        """The subnets."""
        return [subnet.subnet_id for subnet in self.vpc.isolated_subnets]

    def _group(self, construct_id: str, description: str) -> ec2.SecurityGroup:
        """A security group that nobody can connect to, and that can only make HTTPS calls."""
        group = ec2.SecurityGroup(
            self,
            construct_id,
            vpc=self.vpc,
            description=description,
            allow_all_outbound=False,
        )
        # The addresses of S3 and DynamoDB are public. Nothing else public can be reached.
        group.add_egress_rule(ec2.Peer.any_ipv4(), _HTTPS, "AWS")
        return group

    def _create_interfaces(self, services: dict[str, ec2.InterfaceVpcEndpointAwsService]) -> None:
        group = ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self.vpc,
            description="The endpoints that the functions of reeldrop call",
            allow_all_outbound=False,
        )
        group.add_ingress_rule(self.functions, _HTTPS, "The functions")
        for name, service in services.items():
            endpoint = self.vpc.add_interface_endpoint(
                name, service=service, open=False, security_groups=[group]
            )
            endpoint.add_to_policy(_of_this_account("aws:PrincipalAccount"))

    def _log_traffic(self, key: kms.IKey | None) -> None:
        group = logs.LogGroup(
            self,
            "Traffic",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=RemovalPolicy.DESTROY,
            encryption_key=key,
        )
        role = iam.Role(
            self,
            "TrafficRole",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            ),
        )
        self.vpc.add_flow_log(
            "FlowLog", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, role)
        )


def create_network(scope: Construct, config: Config, key: kms.IKey | None) -> Network | None:
    """Create the network, if the deployment wants one.

    Args:
        scope: the stack.
        config: the choices of the deployment.
        key: encrypts the log of the network; None: CloudWatch does with its own key.
    """
    if not config.vpc:
        return None
    asks_bedrock = bool(config.enhancer_model_id or config.guardrail_id)
    return Network(
        scope, "Network", key=key, asks_bedrock=asks_bedrock, signs=bool(config.signing_key)
    )


def _of_this_account(*conditions: str) -> iam.PolicyStatement:
    """What may pass an endpoint: calls of this account, and perhaps only to this account."""
    return iam.PolicyStatement(
        actions=["*"],
        principals=[iam.AnyPrincipal()],
        resources=["*"],
        conditions={"StringEquals": dict.fromkeys(conditions, Aws.ACCOUNT_ID)},
    )


def of_functions(scope: Construct, network: Network | None) -> Statements:
    """Let Lambda connect a function to the network, and the function itself not."""
    if network is None:
        return []
    actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ]
    any_function = Stack.of(scope).format_arn(
        service="lambda",
        resource="function",
        resource_name="*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return [
        # Lambda makes these calls before there is anything that a statement could name.
        iam.PolicyStatement(actions=actions, resources=["*"]),
        iam.PolicyStatement(
            effect=iam.Effect.DENY,
            actions=actions,
            resources=["*"],
            conditions={"ArnLike": {"lambda:SourceFunctionArn": any_function}},
        ),
    ]


def of_processing(network: Network | None) -> Statements:
    """Let SageMaker connect a processing job to the network."""
    if network is None:
        return []
    return [
        iam.PolicyStatement(
            actions=[
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            resources=["*"],
        )
    ]
