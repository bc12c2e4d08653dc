"""A nightly run and a refresh, from the training window to the published file."""
