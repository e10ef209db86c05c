"""How kopf is bent: sessions, streams, watches, lists."""
