"""Qt widgets of the riCOM panel."""
