"""Train the runs of the past again, to learn from them and to evaluate them."""

import logging
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from recsys.config import Config
from recsys.learn.forecast import learn_forecast
from recsys.rows import iso
from recsys.signals.own_signals import NO_OWN_SIGNALS, OwnSignals
from recsys.steps import Steps
from recsys.store.database import Store
from recsys.training.train import Model, base_run_of, train
from recsys.training.users import factors_of_base
from recsys.training.window import TrainingWindow, read_training_window

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run of the past: its training window, and the model trained on it."""

    window: TrainingWindow
    model: Model


class PastRuns:
    """Trains runs as they would have been in the past, and keeps the nightly ones.

    Nightly runs and refreshes are trained by the functions that serve the site. Each also
    knows the texts of the articles that were shown until a given instant, since the text of an
    article is known from the moment it is shown.

    Parameters
    ----------
    store
        The log.
    config
        The settings of the runs.
    own_signals
        Signals that the caller gives the runs.
    steps
        Logs each run that is trained, and what else is done with these runs.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        own_signals: OwnSignals = NO_OWN_SIGNALS,
        steps: Steps | None = None,
    ) -> None:
        self.store, self.config, self.own_signals = store, config, own_signals
        self.steps = steps or Steps()
        self._nightly: dict[tuple[int, int], PastRun] = {}
        self._sampled: dict[tuple[int, int], PastRun] = {}

    def nightly(self, as_of_ms: int, texts_until_ms: int) -> PastRun:
        """Return the nightly run of an instant, trained on the first call.

        Parameters
        ----------
        as_of_ms
            When the run was made.
        texts_until_ms
            It knows the texts of articles that were shown before this instant.
        """
        key = as_of_ms, texts_until_ms
        if key not in self._nightly:
            self._nightly[key] = self._trained(as_of_ms, texts_until_ms)
        return self._nightly[key]

    def sampled_nightly(self, as_of_ms: int, texts_until_ms: int) -> PastRun:
        """Return the nightly run of an instant, trained on a sample of users.

        Learning needs `config.learn.max_users` users at most. The run is that of `nightly` if
        there are no more, or if `nightly` has trained it already.
        """
        key = as_of_ms, texts_until_ms
        if key in self._nightly:
            return self._nightly[key]
        if key not in self._sampled:
            run = self._trained(*key, max_users=self.config.learn.max_users)
            self._sampled[key] = run
            if run.window.sample_one_in == 1:
                self._nightly[key] = run
        return self._sampled[key]

    def refresh(self, base: PastRun, as_of_ms: int, texts_until_ms: int) -> PastRun:
        """Return the refresh of a run at a later instant; it is not kept."""
        if as_of_ms == base.window.as_of_ms:
            return base
        return self._trained(as_of_ms, texts_until_ms, base=base)

    def release(self) -> None:
        """Drop the runs kept so far, to save memory."""
        self._nightly.clear()
        self._sampled.clear()

    def _trained(
        self,
        as_of_ms: int,
        texts_until_ms: int,
        *,
        base: PastRun | None = None,
        max_users: int | None = None,
    ) -> PastRun:
        kind = "nightly run" if base is None else "refresh"
        with self.steps.step(LOG, f"{kind} as of {iso(as_of_ms)}") as counts:
            run = self._trained_quietly(as_of_ms, texts_until_ms, base, max_users)
            counts |= {"users": len(run.window.users), "clicks": len(run.window.user_index)}
        return run

    def _trained_quietly(
        self, as_of_ms: int, texts_until_ms: int, base: PastRun | None, max_users: int | None
    ) -> PastRun:
        shown = self.store.impressions(from_ms=as_of_ms, before_ms=texts_until_ms)
        announced_keys = np.unique(shown.article_key)
        base_run = None if base is None else base_run_of(base.window, base.model)
        window = read_training_window(
            self.store,
            as_of_ms,
            self.config,
            announced_keys,
            None if base_run is None else base_run.facts,
            max_users,
        )
        if base is None or base_run is None:
            curves, _ = learn_forecast(window, self.config)
            carried = None
        else:
            curves = base_run.carry.forecast
            carried = (base_run, factors_of_base(window, base.model.users))
        model = train(
            self.store,
            window,
            self.config,
            lambda stage: nullcontext({}),
            curves,
            carried,
            self.own_signals,
        )
        return PastRun(window, model)
