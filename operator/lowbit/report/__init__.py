"""The report of one evaluation: its model (report.json), and the same as a page and as plain text. Pure."""
