"""Signals: arrays in, scores out. Never the store, never each other."""

from recsys.lazy_import import load_later

# scikit-learn imports it for a helper that no signal calls, and it takes longer to load than
# scikit-learn: an eighth of a refresh at 20,000 articles.
load_later("scipy.stats")
