"""Which tasks share an attempt, how long a task takes, and what it costs. Calls no port.

May import `table` and the rooms below it.
"""
