"""Discovery: the catalog, health, key-value store, sessions, ACL, and their HTTP and DNS faces."""
