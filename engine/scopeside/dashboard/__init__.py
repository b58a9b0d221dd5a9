"""The page beside the microscope: a process of its own that reads and asks.

It can die, stall, or be opened ten times: results come to it over a bus that drops for
slow readers, and what a tab cannot paint in time is never queued for it.
"""
