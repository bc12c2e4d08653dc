"""The training window, and the article model and profiles that are trained on it."""
