"""Imports the weights of a model from Hugging Face. A processing job of its own runs this.

hub         what a repository holds, and its files
__main__    the command of the container
"""


class ImportFailed(Exception):
    """The weights cannot be imported. The message says why, and what to do."""
