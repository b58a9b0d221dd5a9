"""DECTRIS detectors: SIMPLON control, stream V1 (legacy) and stream V2 (CBOR)."""
