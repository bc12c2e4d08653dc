"""Make a nightly run or a refresh, from the training window to the published file."""
