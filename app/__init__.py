"""The face of Cuelight: the only package that imports Qt."""
