"""The topics that people subscribe to: one for jobs, one for alarms."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

# The key of SNS in each account. All who may publish may use it, but no service may, so a topic
# that alarms notify cannot have it.
_KEY_OF_SNS = "alias/aws/sns"


def create_job_topic(scope: Construct, addresses: str, key: kms.IKey | None = None) -> sns.Topic:
    """Create the topic that says how jobs ended.

    Args:
        scope: the parent construct.
        addresses: the email addresses to subscribe, separated by commas; empty for none.
        key: encrypts the messages; None: the key of SNS does.
    """
    topic = sns.Topic(scope, "Topic", display_name="reeldrop", enforce_ssl=True, master_key=key)
    if key is None:
        resource = topic.node.default_child
        assert isinstance(resource, sns.CfnTopic)
        resource.kms_master_key_id = _KEY_OF_SNS
    _subscribe(topic, addresses)
    return topic


def create_alarm_topic(scope: Construct, addresses: str, key: kms.IKey | None) -> sns.Topic:
    """Create the topic that the alarms notify.

    Args:
        scope: the parent construct.
        addresses: the email addresses to subscribe, separated by commas; empty for none.
        key: encrypts the messages; None: SNS encrypts its disks, and nothing more
            (docs/decisions/0022-keys.md).
    """
    topic = sns.Topic(
        scope, "Alarms", display_name="reeldrop alarms", enforce_ssl=True, master_key=key
    )
    _subscribe(topic, addresses)
    # `enforce_ssl` gives the topic a policy, which replaces the default policy of SNS. CloudWatch
    # could publish under the default policy, so it has to be allowed here.
    let_publish(topic, "cloudwatch.amazonaws.com")
    return topic


def let_publish(topic: sns.Topic, service: str) -> None:
    """Let a service of AWS publish to a topic, for this account only."""
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["sns:Publish"],
            principals=[iam.ServicePrincipal(service)],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(topic).account}},
        )
    )


def _subscribe(topic: sns.Topic, addresses: str) -> None:
    for address in filter(None, addresses.split(",")):
        topic.add_subscription(subscriptions.EmailSubscription(address))
