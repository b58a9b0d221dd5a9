"""Who may connect to an engine: addresses, keys, roles; the rules of its web servers.

docs/security.md has the rules, and a table of every socket that the product opens.
"""
