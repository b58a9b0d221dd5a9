"""Thermo Fisher (FEI) microscopes by the HTTP server of temscript."""
