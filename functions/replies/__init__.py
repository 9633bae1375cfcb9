"""What people read about a job (status, refusal, review, sidecar, mail), and its publication.

May import `planning` and the rooms below it.
"""
