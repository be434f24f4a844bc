"""The whole instrument without a face: source, annotator, model, output."""
