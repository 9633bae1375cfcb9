"""What runs in Lambda, one room for each concern: docs/architecture.md has the map.

Only `handlers` knows the Lambda runtime, and only `adapters` calls AWS, one file for each service.
"""
