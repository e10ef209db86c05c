"""The pods of a group: what makes them members of it, and the objects beside them."""
