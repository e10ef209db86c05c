"""`make demo`: from a manifest to a served model, on the cluster of KUBECONFIG or on one made here."""
