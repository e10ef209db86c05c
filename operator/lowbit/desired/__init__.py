"""Pure: one file per kind of object that Lowbit creates."""
