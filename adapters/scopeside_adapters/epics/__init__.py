"""EPICS areaDetector: images that an IOC serves as NTNDArray over PVAccess."""
