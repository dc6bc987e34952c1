"""The one error of the cluster tool."""


class ToolError(Exception):
    """Something the user can read: what failed, the end of the log that says why, and what to do."""
