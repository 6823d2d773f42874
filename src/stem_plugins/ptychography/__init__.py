"""Iterative ptychography: mixed-state multislice models of a scan, and their gradients."""
