"""The engines, which apply batches of operations wherever memory lives."""
