"""Entry points of the functions: parse the event, call one stage, report."""
