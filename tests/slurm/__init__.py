"""The scripts of examples/cluster, on the Slurm that run.sh starts."""
