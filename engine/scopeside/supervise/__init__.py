"""The supervisor: starts the processes, watches them, and closes the account."""
