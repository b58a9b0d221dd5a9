"""Control over EPICS process variables, by Channel Access or PVAccess."""
