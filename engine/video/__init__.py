"""Pictures in and out: sources, annotators, recorder and virtual camera. Knows numpy and OpenCV, no model."""
