"""Using a trained estimator: pictures or camera frames in, gaze with overlays and tables out."""
