"""Train the demonstration models on shapes that this package draws itself."""
