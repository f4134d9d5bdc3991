"""Room 2, networks: tensors in, tensors out. No paths, no volumes."""
