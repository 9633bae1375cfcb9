"""A CloudFormation template with each kind of resource and property that our stacks use."""

from typing import Any

_OUTPUTS = ("Bucket", "Table", "Queue", "Watcher", "DeadLetters", "Function")


def get_att(name: str, attribute: str = "Arn") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def template(name: str, code: dict[str, str]) -> dict[str, Any]:
    """Return the template of a stack whose input bucket is called `name`.

    Args:
        name: the name of the bucket and of the resources that need a name.
        code: where the function's zip file is, in CloudFormation's format.
    """
    return {
        "Resources": {
            **_bucket(name),
            **_queues(),
            **_rules(),
            **_role(name),
            **_function(name, code),
            **_table(),
            **_alarm(),
        },
        "Outputs": {
            **{each: {"Value": {"Ref": each}} for each in _OUTPUTS},
            "Version": {"Value": "1"},
        },
        "Parameters": {
            "BootstrapVersion": {
                "Type": "AWS::SSM::Parameter::Value<String>",
                "Default": "/cdk-bootstrap/hnb659fds/version",
            }
        },
    }


def _bucket(name: str) -> dict[str, Any]:
    """The input bucket, which refuses requests without TLS."""
    tls_only = {
        "Statement": [
            {
                "Action": "s3:*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Resource": [get_att("Bucket")],
            }
        ],
        "Version": "2012-10-17",
    }
    return {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": name,
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                    ]
                },
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                            "ExpirationInDays": 365,
                            "Status": "Enabled",
                        }
                    ]
                },
                "NotificationConfiguration": {
                    "EventBridgeConfiguration": {"EventBridgeEnabled": True}
                },
                "PublicAccessBlockConfiguration": {"BlockPublicAcls": True},
                "VersioningConfiguration": {"Status": "Enabled"},
            },
        },
        "BucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": tls_only},
        },
    }


def _queues() -> dict[str, Any]:
    """The queue of the function, its dead-letter queue, and a second queue for the same events."""
    queue_policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": get_att("Queue"),
                "Condition": {"ArnEquals": {"aws:SourceArn": get_att("Rule")}},
            },
            {
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": "sqs:*",
                "Resource": get_att("Queue"),
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
        "Version": "2012-10-17",
    }
    return {
        "DeadLetters": {
            "Type": "AWS::SQS::Queue",
            "Properties": {"MessageRetentionPeriod": 1209600, "SqsManagedSseEnabled": True},
        },
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "RedrivePolicy": {
                    "deadLetterTargetArn": get_att("DeadLetters"),
                    "maxReceiveCount": 2,
                },
                "VisibilityTimeout": 3,
            },
        },
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"PolicyDocument": queue_policy, "Queues": [{"Ref": "Queue"}]},
        },
        "Watcher": {"Type": "AWS::SQS::Queue"},
        "WatcherPolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "PolicyDocument": {
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "events.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": get_att("Watcher"),
                        }
                    ]
                },
                "Queues": [{"Ref": "Watcher"}],
            },
        },
    }


def _rules() -> dict[str, Any]:
    """The rule for dropped specs, and the schedule of the sweep."""
    return {
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {
                        "bucket": {"name": [{"Ref": "Bucket"}]},
                        "object": {"key": [{"wildcard": "jobs/*.yaml"}]},
                    },
                },
                "State": "ENABLED",
                "Targets": [
                    {
                        "Arn": get_att("Queue"),
                        "DeadLetterConfig": {"Arn": get_att("DeadLetters")},
                        "Id": "Target0",
                        "RetryPolicy": {"MaximumRetryAttempts": 3},
                    },
                    {"Arn": get_att("Watcher"), "Id": "Target1"},
                ],
            },
        },
        "Sweep": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "ScheduleExpression": "rate(5 minutes)",
                "State": "ENABLED",
                "Targets": [{"Arn": get_att("Function"), "Id": "Target0"}],
            },
        },
        "SweepPermission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": get_att("Function"),
                "Principal": "events.amazonaws.com",
                "SourceArn": get_att("Sweep"),
            },
        },
    }


def _role(name: str) -> dict[str, Any]:
    """The role of the function."""
    return {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Statement": [
                        {
                            "Action": "sts:AssumeRole",
                            "Effect": "Allow",
                            "Principal": {"Service": "lambda.amazonaws.com"},
                        }
                    ],
                    "Version": "2012-10-17",
                },
            },
        },
        "RolePolicy": {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyDocument": {
                    "Statement": [
                        {
                            "Action": "dynamodb:PutItem",
                            "Effect": "Allow",
                            "Resource": get_att("Table"),
                        }
                    ],
                    "Version": "2012-10-17",
                },
                "PolicyName": f"{name}-policy",
                "Roles": [{"Ref": "Role"}],
            },
        },
    }


def _function(name: str, code: dict[str, str]) -> dict[str, Any]:
    """The function with its log group and its queue."""
    return {
        "LogGroup": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": f"/reeldrop/{name}", "RetentionInDays": 30},
        },
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Architectures": ["arm64"],
                "Code": code,
                "Environment": {"Variables": {"TABLE": {"Ref": "Table"}}},
                "Handler": "handlers.entry.handler",
                "LoggingConfig": {"LogFormat": "JSON", "LogGroup": {"Ref": "LogGroup"}},
                "MemorySize": 256,
                "ReservedConcurrentExecutions": 5,
                "Role": get_att("Role"),
                "Runtime": "python3.13",
                "Timeout": 3,
            },
        },
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "BatchSize": 1,
                "EventSourceArn": get_att("Queue"),
                "FunctionName": {"Ref": "Function"},
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": 2},
            },
        },
    }


def _table() -> dict[str, Any]:
    """The table."""
    return {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
                "SSESpecification": {"SSEEnabled": True},
                "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
            },
        },
    }


def _alarm() -> dict[str, Any]:
    """The topic, and an alarm about dead letters."""
    return {
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "reeldrop"}},
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {
                "PolicyDocument": {
                    "Statement": [
                        {
                            "Action": "sns:Publish",
                            "Effect": "Allow",
                            "Principal": {"Service": "cloudwatch.amazonaws.com"},
                            "Resource": {"Ref": "Topic"},
                        }
                    ],
                    "Version": "2012-10-17",
                },
                "Topics": [{"Ref": "Topic"}],
            },
        },
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmActions": [{"Ref": "Topic"}],
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "Dimensions": [{"Name": "QueueName", "Value": get_att("DeadLetters", "QueueName")}],
                "EvaluationPeriods": 1,
                "MetricName": "ApproximateNumberOfMessagesVisible",
                "Namespace": "AWS/SQS",
                "Period": 300,
                "Statistic": "Maximum",
                "Threshold": 1,
                "TreatMissingData": "notBreaching",
            },
        },
    }
