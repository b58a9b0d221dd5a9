"""Numbers over the time of an experiment: which results tell some, and what is kept."""
