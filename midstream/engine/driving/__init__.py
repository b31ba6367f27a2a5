"""Driving a run: the host of runs, the runner of one, and the attempts of its activations."""
