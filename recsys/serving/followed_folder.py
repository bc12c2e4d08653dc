"""The published folder as a server follows it: the run to serve, and the rules in force."""

from contextlib import suppress
from pathlib import Path

from recsys.errors import SnapshotError
from recsys.files import version_of
from recsys.page.rules import Resolved, Rule
from recsys.published import folder as published_folder
from recsys.serving.connections import SQLITE_USE, Turn
from recsys.serving.loaded_run import LoadedRun


class FollowedFolder:
    """Serves what a folder publishes: the last good run and the last good rules.

    Parameters
    ----------
    folder
        The folder.
    run_key
        The key by which runs, pointer and rules must be signed; None if they need not be.

    Raises
    ------
    NotPublishedError
        If nothing is published there.
    SnapshotError
        If no published run can be opened, or the rules are damaged and have no sound copy.
    """

    def __init__(self, folder: Path, run_key: bytes | None) -> None:
        self._folder, self._run_key = folder, run_key
        self._pointer, self._rules_file = (
            str(folder / name) for name in (published_folder.POINTER, published_folder.RULES)
        )
        self._following = Turn()
        self._refused: dict[str, str] = {}  # by file or run: why what is published is not served
        self._seen: object = version_of(self._pointer)
        with SQLITE_USE:
            self._run = self._opened()
        state = version_of(self._rules_file)
        self._rules = (state, self._run, Resolved(self._first_rules(), self._run.described))

    @property
    def run(self) -> LoadedRun:
        """Return the run to serve; a newly published one is opened, once.

        While one thread opens it, the others go on with the run they have. A run that cannot be
        opened is not served: the last good one is.
        """
        # Where the pointer is missing, `recsys forget` cannot touch it: the run's files say it.
        state = version_of(self._pointer) or self._run.versions
        if state != self._seen:
            with SQLITE_USE, self._following.taken() as is_mine:
                if is_mine:
                    self._follow()
                    self._seen = state
        return self._run

    def _follow(self) -> None:
        """Open the run that is published now, or the one that is served if its file has changed."""
        try:
            run_id = (
                published_folder.current_run(self._folder, self._run_key) or self._run.meta.run_id
            )
            if run_id != self._run.meta.run_id or self._run.has_changed:
                self._serve(run_id)
            self._refused.pop(published_folder.POINTER, None)
        except SnapshotError as error:
            self._refused[published_folder.POINTER] = str(error)
            if self._run.has_changed:  # `recsys forget` has deleted a user from it
                with suppress(SnapshotError):
                    self._serve(self._run.meta.run_id)

    def _serve(self, run_id: str) -> None:
        before, self._run = self._run, LoadedRun(self._folder, run_id, self._run_key)
        before.connections.retire()

    def _opened(self) -> LoadedRun:
        """Return the current run or, if it cannot be opened, the last one before that can."""
        runs, problem = published_folder.run_ids(self._folder), ""
        try:
            current = published_folder.current_run(self._folder, self._run_key)
            if current in runs:
                runs = runs[: runs.index(current) + 1]
            elif current is None:
                problem = self._unnamed()
            else:
                problem = f"{self._folder / published_folder.POINTER}: {current!r} is no run here"
        except SnapshotError as error:
            problem = str(error)
        for run_id in reversed(runs):
            try:
                run = LoadedRun(self._folder, run_id, self._run_key)
            except SnapshotError as error:
                problem = problem or str(error)
                continue
            if problem:
                self._refused[published_folder.POINTER] = problem
            return run
        published_folder.require_current(self._folder)  # without the key: is there any?
        raise SnapshotError(problem)

    def _unnamed(self) -> str:
        return f"{self._folder / published_folder.POINTER}: missing; `recsys rollback RUN`"

    def _first_rules(self) -> tuple[Rule, ...]:
        """Return the rules of the folder; if they are damaged, those that a command last wrote."""
        try:
            return published_folder.load_rules(self._folder, self._run.list_names, self._run_key)
        except SnapshotError as error:
            last = published_folder.last_rules(self._folder, self._run_key)
            if last is None:
                raise
            self._refused[published_folder.RULES] = str(error)
            return last

    def rules(self, run: LoadedRun) -> Resolved:
        """Return the rules of the folder, resolved against a run; read again when they change.

        A file that cannot be read changes nothing: the last good rules hold.
        """
        state = version_of(self._rules_file)
        seen, of_run, resolved = self._rules  # one tuple, so that no thread sees half of it
        if state == seen and run is of_run:
            return resolved
        rules = resolved.rules
        try:
            rules = published_folder.load_rules(self._folder, run.list_names, self._run_key)
            self._refused.pop(published_folder.RULES, None)
        except SnapshotError as error:
            self._refused[published_folder.RULES] = str(error)
        resolved = Resolved(rules, run.described)
        self._rules = (state, run, resolved)
        return resolved

    def refuse(self, run: LoadedRun, problem: str) -> None:
        """Remember what is damaged in a run, for `problems`."""
        self._refused[run.meta.run_id] = problem

    def problems(self, run: LoadedRun) -> list[str]:
        """Return why what is published is not served, or is damaged in the run."""
        names = (published_folder.POINTER, published_folder.RULES, run.meta.run_id)
        found = [self._refused[name] for name in names if name in self._refused]
        if version_of(self._pointer) is None and not found:
            found.append(self._unnamed())
        return found
