"""Looking back: replay, forks, what-if, finding runs, and exporting spans."""
