"""The one door to the API server; the only importer of kubernetes."""
