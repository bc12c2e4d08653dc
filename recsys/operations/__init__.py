"""What editors and operators do to a store, a published folder, or one run."""
