"""The report's page in a browser."""
