"""Wires kopf, the Lease, the work queue, settings, metrics and health; the only importer of kopf."""
