"""Where memory lives: the engines that apply batches of operations."""
