"""The Seldon protocol: one data plane under seldon-core and under our own server."""
