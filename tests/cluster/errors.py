"""The one error of this package."""


class ClusterError(Exception):
    """Something about the test cluster went wrong; the message says what, and what to do next."""
