"""Entry points of the functions: parse, call one use case, report."""
