"""The types of every resource and of every document between operator and worker. Pure: no IO."""
