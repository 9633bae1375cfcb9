"""Why the studio does not do what it was asked."""


class Refused(Exception):
    """A request that is answered with an error. Its text is for the person at the page."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        # It may quote half of a character, which is no UTF-8.
        super().__init__(message.encode(errors="backslashreplace").decode())
        self.status = status
        self.code = code
        """For programs: the code of the problem, if the bucket has one for it."""
