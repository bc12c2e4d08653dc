"""Every error that this package raises on purpose.

RecsysError
├── ConfigError         a setting is unknown, of the wrong type or out of range
├── InputRefusedError   an input file does not have the format it should have
├── StoreError          the store cannot be opened, read or written
├── NotPublishedError   the published folder holds no run
├── SnapshotError       a published run or its rules are damaged or missing
├── HeldBackError       a run was written but not made current, because it looks wrong
├── RunActiveError      another process holds the lock of the published folder
├── RuleError           an editor's rule is invalid or contradicts another rule
└── ArticleError        an article is unknown to the current run, or may not be recommended

Wrong arguments raise the built-in ValueError or TypeError.
"""


def printable_path(path: str) -> str:
    r"""Return a path as text that can be printed and stored; bytes that are not UTF-8 become \xff.

    Examples
    --------
    >>> print(printable_path("caf\udce9.csv"))
    caf\xe9.csv
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def reason_of(error: BaseException) -> str:
    """Return why something failed, without the path and the number that an OSError adds.

    Examples
    --------
    >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.toml"))
    'No such file or directory'
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class RecsysError(Exception):
    """Base class of all errors below; catch it to catch every one of them."""


class ConfigError(RecsysError):
    """A setting is unknown, of the wrong type or out of range."""


class InputRefusedError(RecsysError):
    """An input file is refused as a whole; the message names the file and the problem.

    The usual reason is that the file does not have the format that `--format` names.
    """

    def __init__(self, path: str, problem: str) -> None:
        path = printable_path(path)
        super().__init__(f"{path}: refused: {problem}")
        self.path, self.problem = path, problem


class StoreError(RecsysError):
    """The store cannot be opened, read or written, or lacks the rows that a command needs."""


class NotPublishedError(RecsysError):
    """The published folder holds no run; the message names the command that publishes one."""


class SnapshotError(RecsysError):
    """A published run or its rules are damaged, or the requested run does not exist."""


class HeldBackError(RecsysError):
    """A run was written but not made current, because the checks found problems.

    The message lists the problems and names the command that serves the run anyway.
    """

    def __init__(self, run_id: str, problems: list[str]) -> None:
        super().__init__(
            f"run {run_id} is held back: {'; '.join(problems)}"
            f" (`recsys publish {run_id} --force --reason TEXT` serves it anyway)"
        )
        self.run_id, self.problems = run_id, problems


class RunActiveError(RecsysError):
    """Another process is working on the same published folder and holds its lock."""


class RuleError(RecsysError):
    """An editor's rule is invalid, contradicts another rule, or does not exist."""


class ArticleError(RecsysError):
    """An article is unknown to the current run, or may not be recommended now."""
