"""The lowbit command, also kubectl-lowbit."""
