"""Figures at thousands of objects: real etcd and kube-apiserver, the operator as a process, an actor for all that runs.

The actor plays Jobs, pods and Deployments from its own process. All objects are in one namespace: the expensive case.
"""
