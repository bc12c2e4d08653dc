"""Every error this package raises on purpose.

RecsysError
├── ConfigError         a setting is unknown or out of range
├── InputRefusedError   an input file is not what it is said to be
├── StoreError          the store cannot be opened or is of another version
├── NotPublishedError   no run is published where one is looked for
├── SnapshotError       a published file is damaged or missing
├── HeldBackError       a run is kept but not made current: it looks wrong
└── RunActiveError      another run holds the lock

Wrong arguments raise the built-in ValueError or TypeError.
"""


class RecsysError(Exception):
    """Base class, so that a caller can catch everything at once."""


class ConfigError(RecsysError):
    """A setting is unknown, of the wrong type or out of range."""


class InputRefusedError(RecsysError):
    """An input file is refused whole: it is not what `--format` says."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: refused: {problem}")
        self.path, self.problem = path, problem


class StoreError(RecsysError):
    """The store cannot be opened, or was written by a newer version."""


class NotPublishedError(RecsysError):
    """No run is published here; says which command publishes one."""


class SnapshotError(RecsysError):
    """A published file is damaged, or a run that was asked for is not there."""


class HeldBackError(RecsysError):
    """Tonight's run was written but not made current, because it looks wrong."""

    def __init__(self, run_id: str, problems: list[str]) -> None:
        super().__init__(
            f"run {run_id} is held back: {'; '.join(problems)}"
            f" (`recsys publish {run_id} --force --reason TEXT` serves it all the same)"
        )
        self.run_id, self.problems = run_id, problems


class RunActiveError(RecsysError):
    """Another nightly run is working on the same published folder."""


class RuleError(RecsysError):
    """An editor's rule that cannot be: wrong in itself, or against another."""
