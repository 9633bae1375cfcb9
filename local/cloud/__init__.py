"""The embedded cloud: AWS as reeldrop uses it, in one process on one loopback port.

ministack answers most services. SageMaker processing jobs, Bedrock and mail are our own.
"""
