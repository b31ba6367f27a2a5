"""What a run records: the recorder, claims on what was recorded before, and playing a log back in its place."""
