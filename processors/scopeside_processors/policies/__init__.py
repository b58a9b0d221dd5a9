"""Policies: what to ask of the microscope, decided from results."""
