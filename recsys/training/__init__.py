"""The training window, and the article model and user states that are trained on it."""
