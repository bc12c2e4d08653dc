"""Pages for a web application, out of the current run."""
