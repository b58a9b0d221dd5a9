"""Direct Electron cameras: the movie buffers of a DE-Server, through deapi."""
