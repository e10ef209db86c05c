"""A real one-node Kubernetes cluster, from Debian packages and Go modules alone: no container registry, no engine.

`python3 -m hack.cluster.packages` and `python3 -m hack.cluster.build` get the parts and need only the standard
library; `python -m hack.cluster up | down | status | load` needs the development virtualenv. Nothing is imported here,
so that the first two stay free of it.
"""
