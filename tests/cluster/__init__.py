"""Tests of the one-node cluster in hack/cluster, and what tests on it share."""
