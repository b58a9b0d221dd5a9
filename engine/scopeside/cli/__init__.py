"""The command line: ``scopeside --help`` is the way in."""
