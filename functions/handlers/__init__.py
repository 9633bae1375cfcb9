"""Entry points of the functions: parse the event, call one stage, report.

May import every room, and is the only one that may import the Lambda runtime (powertools).
"""
