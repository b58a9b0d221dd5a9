"""Timepix3 event cameras (ASI CheeTah, TPX3CAM) through Serval."""
