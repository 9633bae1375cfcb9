"""Seconds and memory of the real models' shapes on one GPU: `python -m bench.gpu OUT.json`.

No weights are downloaded: every model has its published configuration and random values, which
is enough for work that does not depend on what the values are. A cache that decides from what it
sees would not be, so only caches with a fixed mask of steps are timed.

What makes a model faster is imported from `processing/gpu`, because the worker uses it, too.
`README.md` in this folder says what a machine needs.
"""
