"""The face in napari: reader, writer, sample data, the riCOM panel and the 4D-STEM browser."""
