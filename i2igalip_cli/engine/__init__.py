"""Room 4, the engine: joins volumes, methods and checkpoints into the flows of the commands."""
