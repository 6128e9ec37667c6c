"""The compiled arithmetic of one event: what is in this folder decides the bits."""
