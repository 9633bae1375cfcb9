"""What the stages need from outside: AWS, one file for each service, and the reading process.

May import every room except `handlers`, and is the only one that may import boto3.
"""
