"""Movies of a specimen that changes: drift, nucleation, particles and their laws."""
