"""A real one-node Kubernetes cluster, from Debian packages and Go modules alone: no container registry, no engine.

`python3 -m tests.cluster.packages` and `python3 -m tests.cluster.build` get the parts and need only the standard
library; `python -m tests.cluster up | down | status | load` needs the development virtualenv. Nothing is imported here,
so that the first two stay free of it.
"""
