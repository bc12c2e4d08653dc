"""What a run publishes: one file a run, and the folder that says which is current."""
