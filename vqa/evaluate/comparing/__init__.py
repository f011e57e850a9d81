"""Sets stored answers side by side: scorers, runs, a run and its baseline; asks nobody."""
