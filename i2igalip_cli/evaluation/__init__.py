"""Room 5, evaluation: arrays in, numbers and pictures out."""
