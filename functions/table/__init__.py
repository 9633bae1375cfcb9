"""The table, the only source of truth: its records, their moves, the rule for changing them.

May import `spec` and what is below it.
"""
