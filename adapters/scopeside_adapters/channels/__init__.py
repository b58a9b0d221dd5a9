"""Side channels: numbers from files, programs and EPICS, beside the frames."""
