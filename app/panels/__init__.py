"""The parts of the window, one file each; every panel gets the bridge and nothing else."""
