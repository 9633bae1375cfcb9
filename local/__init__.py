"""The embedded cloud: ministack in one process, with SageMaker, Bedrock and mail of our own."""
